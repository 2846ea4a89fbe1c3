use {changed as _, loadavg as _, textfile as _};

fn main() -> std::process::ExitCode {
    statsfs_collector::main()
}
