//! What this process has used, where the system tells (Linux does).

/// The most memory this process has held so far, in bytes.
pub fn peak_memory() -> Option<u64> {
    of_status("VmHWM:")
}

/// The memory this process holds, in bytes.
pub fn memory() -> Option<u64> {
    of_status("VmRSS:")
}

/// Seconds that all cores together have worked for this process.
pub fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold spaces. User and system time are fields 14 and 15 of all, in
    // hundredths of a second on every Linux.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.iter().sum::<u64>() as f64 / 100.0)
}

fn of_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
