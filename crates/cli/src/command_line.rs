//! Command lines that are printed for a person to paste into a shell.

use std::borrow::Cow;

/// What was typed.
pub fn typed() -> String {
    let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    quoted(std::iter::once("facegrad".to_owned()).chain(arguments))
}

/// `words` as a shell reads them.
pub fn quoted(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    words.into_iter().map(|text| word(text.as_ref()).into_owned()).collect::<Vec<_>>().join(" ")
}

/// One word as a shell reads it. What no shell changes, such as `head.margin=0.4` or `1,2,3`, stays as it is.
pub fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    // A system hands over no argument with a NUL, the only character that cannot be quoted.
    shlex::try_quote(text).unwrap_or(Cow::Borrowed(text))
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_the_words_that_were_typed() {
        let words = [
            "train",
            "it's",
            "$HOME",
            "a;b",
            "*",
            "#1",
            "",
            "two words",
            "a\"b",
            "`id`",
            "back\\slash",
            "~",
            "!x",
            "^",
            "{a,b}",
            "(x)",
            "a&b",
            "<in>",
            "line\nbreak",
            "tab\t",
            "ä",
            "head.margin=0.4",
            "'",
            "run.name=o'neil $x",
        ];
        let script = format!("set -- {}; printf '%s\\0' \"$@\"", quoted(words));
        let read = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(read.status.success(), "{script}: {}", String::from_utf8_lossy(&read.stderr));
        let read = String::from_utf8(read.stdout).unwrap();
        assert_eq!(read.split_terminator('\0').collect::<Vec<_>>(), words, "{script}");
    }

    #[test]
    fn usual_words_stay_as_they_are() {
        let words = ["facegrad", "compare", "configs/a.toml", "--seeds", "1,2,3", "--set", "run.batch=32"];
        assert_eq!(quoted(words), words.join(" "));
    }
}
