//! Real gRPC servers of other languages, which take every request.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::common::{lacks, repository};

/// Its program and its arguments, and what the test needs where it is not there.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    program: &'static str,
    script: &'static str,
    library: &'static str,
    needs: &'static str,
}

/// gRPC's C core, as all of Python, C++, Ruby and PHP have it: INTERNAL to zstd.
pub(crate) const GRPCIO: Kind = Kind {
    program: ".tools/gcp/bin/python",
    script: "tests/compression/grpcio.py",
    library: "",
    needs: "grpcio in .tools/gcp, which .ci/run installs",
};

/// grpc-js of today: UNIMPLEMENTED to zstd.
pub(crate) const GRPC_JS: Kind = Kind {
    program: "node",
    script: "tests/compression/grpc-js.js",
    library: ".tools/grpc-js/node_modules/grpc-js",
    needs: "grpc-js in .tools/grpc-js: scripts/grpc-js.sh installs it with npm",
};

/// One of 2024: its process ends at zstd, by an exception that nobody catches.
pub(crate) const GRPC_JS_THAT_ENDS: Kind = Kind {
    library: ".tools/grpc-js/node_modules/grpc-js-that-ends",
    ..GRPC_JS
};

/// A server that ends when this is dropped.
pub(crate) struct RealPeer {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl RealPeer {
    /// One at this port, or at any (0). `None`, reported on standard error, where it is not there.
    pub(crate) fn start(test: &str, kind: Kind, port: u16) -> Option<RealPeer> {
        let program = if kind.program.contains('/') {
            repository(kind.program)
        } else {
            kind.program.into()
        };
        let mut command = Command::new(program);
        let command = command
            .arg(repository(kind.script))
            .arg(port.to_string())
            .arg(repository(kind.library))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let started = command.spawn().ok().and_then(|mut child| {
            let lines = BufReader::new(child.stdout.take().unwrap());
            let mut peer = RealPeer { child, lines, port };
            // Its first line is its port; one whose library is not there ends without.
            peer.port = peer.line().parse().ok()?;
            Some(peer)
        });
        if started.is_none() {
            lacks(test, kind.needs);
        }
        started
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it says next: how many bytes a request has.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for RealPeer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
