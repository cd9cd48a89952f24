//! What this process has used and can still have, where the system tells (Linux does).

/// The most memory this process has held so far, in bytes.
pub fn peak_memory() -> Option<u64> {
    of_file("/proc/self/status", "VmHWM:")
}

/// The memory this process holds, in bytes.
pub fn memory() -> Option<u64> {
    of_file("/proc/self/status", "VmRSS:")
}

/// The memory that can be had on this machine without pushing anything out, in bytes, and within what this process
/// is allowed (`ulimit -v`).
pub fn available_memory() -> Option<u64> {
    let there = of_file("/proc/meminfo", "MemAvailable:")?;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let used = of_file("/proc/self/status", "VmSize:").unwrap_or(0);
    let allowed = address_space(&limits).map(|limit| limit.saturating_sub(used));
    Some(allowed.map_or(there, |allowed| allowed.min(there)))
}

/// The bytes of address space that a process may have by its `limits`; none without such a limit.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
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

/// A line such as `VmRSS:   1234 kB`.
pub(crate) fn of_file(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_address_space_is_read() {
        let limits = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax address space         {soft}    unlimited    bytes\n"
            )
        };
        assert_eq!(address_space(&limits("4096000000")), Some(4_096_000_000));
        assert_eq!(address_space(&limits("unlimited")), None);
        assert_eq!(address_space(""), None);
    }
}
