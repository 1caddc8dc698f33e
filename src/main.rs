//! The `pgweir` program: hands its arguments to `boot` and ends with the code it returns.

fn main() -> std::process::ExitCode {
    pgweir::boot::main()
}
