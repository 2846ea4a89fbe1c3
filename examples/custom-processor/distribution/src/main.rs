use redact as _;

fn main() -> std::process::ExitCode {
    statsfs_collector::main()
}
