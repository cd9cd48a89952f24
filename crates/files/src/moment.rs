//! When something was made.

use std::{
    fmt,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A second, in UTC; as text it is of the form `2026-11-29T12:05:31Z` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment {
    /// Seconds since the beginning of 1970.
    seconds: u64,
}

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

impl Moment {
    /// This second; or the one that the environment variable `SOURCE_DATE_EPOCH` names, for files that are the same
    /// whenever they are made (reproducible-builds.org).
    pub fn now() -> Self {
        let named = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
        let of_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { seconds: named.unwrap_or_else(of_clock).min(LAST) }
    }

    /// As people read it: `2026-11-29 12:05:31 UTC`.
    pub fn in_words(self) -> String {
        self.to_string().replace('T', " ").replace('Z', " UTC")
    }

    /// Its beginning, as file systems give times.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds)
    }
}

/// When a file got its content, as far as the file system tells: the later of when it was written and, on Unix, when it
/// was put in its place. A copy that keeps the time of its original, or a file that was moved here, is as new as that.
pub fn last_written(path: &Path) -> Option<SystemTime> {
    let about = path.metadata().ok()?;
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt;
        let seconds = u64::try_from(about.ctime()).ok();
        seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    };
    #[cfg(not(unix))]
    let changed = None;
    about.modified().ok().max(changed)
}

/// Days of 400 years, after which the calendar repeats itself.
const ERA: u64 = 146_097;

/// Days from 1 March of the year 0 to the beginning of 1970.
const BEFORE_1970: u64 = 719_468;

impl fmt::Display for Moment {
    /// Source of the calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.seconds / 86_400 + BEFORE_1970, self.seconds % 86_400);
        let (era, of_era) = (days / ERA, days % ERA);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Years begin in March, so that the leap day is their last.
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no moment of the form 2026-11-29T12:05:31Z")]
pub struct NoMoment(String);

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<u64>().ok());
        let parsed = || {
            let [year, month, day] = [number(0..4)?, number(5..7)?, number(8..10)?];
            let [hour, minute, second] = [number(11..13)?, number(14..16)?, number(17..19)?];
            let (year_from_march, month_from_march) =
                if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
            let of_era = year_from_march % 400;
            let of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
            let days = year_from_march / 400 * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
            let seconds = days.checked_sub(BEFORE_1970)? * 86_400 + hour * 3600 + minute * 60 + second;
            Some(Self { seconds })
        };
        // What is written again as it was read had the right form and was in the calendar.
        let found = parsed().filter(|moment: &Self| moment.seconds <= LAST && moment.to_string() == text);
        found.ok_or_else(|| NoMoment(text.into()))
    }
}

impl TryFrom<String> for Moment {
    type Error = NoMoment;

    fn try_from(text: String) -> Result<Self, NoMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_file_is_as_new_as_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(last_written(&path), None);
        let before = Moment { seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() };
        let file = std::fs::File::create(&path).unwrap();
        // As a copy does that keeps the time of its original.
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        assert!(last_written(&path).unwrap() >= before.time());
        let later = SystemTime::now() + Duration::from_secs(1000);
        file.set_modified(later).unwrap();
        assert_eq!(last_written(&path), Some(later));
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        // `date -u -d @seconds +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_764_417_931, "2025-11-29T12:05:31Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            let moment = Moment { seconds };
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse(), Ok(moment));
        }
        assert_eq!(Moment { seconds: 1_764_417_931 }.in_words(), "2025-11-29 12:05:31 UTC");
        for days in 0..100_000 {
            let moment = Moment { seconds: days * 86_400 + days % 86_400 };
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for text in [
            "",
            "2026-11-29",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-29T24:00:00Z",
            "2026-11-29T12:05:31+01:00",
            "1969-12-31T23:59:59Z",
            "2026-00-01T00:00:00Z",
            "+026-11-29T12:05:31Z",
            "2026-11-29T12:05:3\u{1d7d9}Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment(text.into())), "{text}");
        }
    }
}
