use statsfs_collector::{BUILD_INFO, BuildInfo};
use {changed as _, loadavg as _, pidfile as _, textfile as _};

fn main() -> std::process::ExitCode {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    statsfs_collector::main(BuildInfo { name, version, ..BUILD_INFO })
}
