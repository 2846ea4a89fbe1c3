//! The standard distribution's program.

fn main() -> std::process::ExitCode {
    statsfs_collector::main(statsfs_collector::BUILD_INFO)
}
