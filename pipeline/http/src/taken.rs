//! Who has a port that is taken, as far as this process may see that.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use pipeline::telemetry::escaped;

/// So much is read of the list of sockets, of which there may be a million.
const MAX_BYTES: u64 = 16 << 20;

/// Who listens where this address cannot be bound.
pub(crate) fn holder(wanted: &SocketAddr) -> Option<String> {
    let socket = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .find_map(|path| find(&read(path), wanted))?;
    match pid(socket.inode) {
        Some(pid) => Some(process(pid)),
        None => Some(format!("a process of the user {}", socket.uid)),
    }
}

/// A process by its name and its id.
pub(crate) fn process(pid: i32) -> String {
    if u32::try_from(pid) == Ok(std::process::id()) {
        return "this program, for another component".into();
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("`{}` (pid {pid})", escaped(name.trim_end()))
}

fn read(path: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    if let Ok(file) = fs::File::open(path) {
        // What was read until an error is as good as nothing.
        let _ = file.take(MAX_BYTES).read_to_string(&mut text);
    }
    text
}

/// A socket that listens.
#[derive(Debug, PartialEq)]
struct Socket {
    uid: u32,
    inode: u64,
}

/// The first one in the way of this address, in a list as
/// [proc_net(5)](https://man7.org/linux/man-pages/man5/proc_pid_net.5.html) has it.
fn find(list: &str, wanted: &SocketAddr) -> Option<Socket> {
    const LISTENS: &str = "0A";
    list.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, _, _, _, uid, _, inode, ..] = fields[..] else {
            return None;
        };
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let address = parse(address)?;
        let is_any = address.is_unspecified() || wanted.ip().is_unspecified();
        let is_in_the_way = is_any || address.to_canonical() == wanted.ip().to_canonical();
        if state != LISTENS || port != wanted.port() || !is_in_the_way {
            return None;
        }
        Some(Socket {
            uid: uid.parse().ok()?,
            inode: inode.parse().ok()?,
        })
    })
}

/// Words of 32 bits in this host's order.
fn parse(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

/// The first process that has this socket.
fn pid(inode: u64) -> Option<i32> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.find(|pid: &i32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        let mut links = links
            .flatten()
            .filter_map(|it| fs::read_link(it.path()).ok());
        links.any(|it| it.as_os_str() == &*socket)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:334D 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0 20 0 0 10 -1
   1: 0100007F:334D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 22 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 33 1 0 100 0 0 10 0
   3: broken
";
    const LIST_V6: &str = "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
   0: 00000000000000000000000001000000:334D 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 44 1 0 100 0 0 10 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_one_that_listens_in_the_way_is_found() {
        let find = |list, wanted: &str| find(list, &wanted.parse().unwrap()).map(|it| it.inode);
        assert_eq!(find(LIST, "127.0.0.1:13133"), Some(22));
        assert_eq!(find(LIST, "0.0.0.0:13133"), Some(22));
        assert_eq!(find(LIST, "[::]:13133"), Some(22));
        assert_eq!(find(LIST, "10.0.0.1:13133"), None);
        assert_eq!(find(LIST, "10.0.0.1:80"), Some(33));
        assert_eq!(find(LIST_V6, "[::1]:13133"), Some(44));
        assert_eq!(find(LIST_V6, "127.0.0.1:13133"), None);
        assert_eq!(find("", "127.0.0.1:13133"), None);
    }
}
