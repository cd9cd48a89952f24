//! What machine this is, where the system tells (Linux does).

use std::fs;

use crate::process::of_file;

/// The processor, as it names itself.
pub fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).trim_end().to_owned())
}

/// The system and its kernel, such as `Debian GNU/Linux 12 (bookworm), Linux 6.1.0`.
pub fn system() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let kind = match std::env::consts::OS {
        "linux" => "Linux",
        other => other,
    };
    let kernel = format!("{kind} {}", kernel.trim());
    let name = name_of(&release).map(|name| format!("{name}, ")).unwrap_or_default();
    format!("{name}{}", kernel.trim())
}

/// The name that a system has in its `os-release`.
fn name_of(release: &str) -> Option<&str> {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"'))
}

/// The memory of this machine, in bytes.
pub fn memory() -> Option<u64> {
    of_file("/proc/meminfo", "MemTotal:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_a_name() {
        let release = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(name_of(release), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(name_of("NAME=x\n"), None);
        assert!(!system().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_is_more_than_what_is_available_of_it() {
        assert!(memory().unwrap() >= crate::process::available_memory().unwrap());
    }
}
