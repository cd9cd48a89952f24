//! Command lines that are printed for a person to paste into a shell.

use std::ffi::OsStr;

/// What was typed.
pub fn typed() -> String {
    quoted(std::iter::once("facegrad".into()).chain(std::env::args_os().skip(1)))
}

/// `words` as a shell reads them.
pub fn quoted(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// One word as a shell reads it. What no shell changes, such as `head.margin=0.4` or `1,2,3`, stays as it is.
pub fn word(word: impl AsRef<OsStr>) -> String {
    let Some(text) = word.as_ref().to_str() else { return in_bytes(word.as_ref()) };
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    // A system hands over no argument with a NUL, the only character that cannot be quoted.
    shlex::try_quote(text).map_or_else(|_| text.into(), Into::into)
}

/// A word that is no Unicode, in the quotes in which a shell reads `\xE9` as a byte.
fn in_bytes(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes().iter().map(|&byte| match byte {
        b'\\' | b'\'' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).into(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("$'{}'", bytes.collect::<String>())
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
    fn a_shell_reads_words_that_are_no_unicode() {
        use std::{ffi::OsString, os::unix::ffi::OsStringExt};
        let words: [&[u8]; 3] = [b"caf\xe9/it's", b"\xff\\n $x\n", b"\xe9f0"];
        let script = format!("printf '%s\\0' {}", quoted(words.map(|word| OsString::from_vec(word.into()))));
        // Not every sh knows these quotes.
        let Ok(read) = Command::new("bash").args(["-c", &script]).output() else { return };
        assert_eq!(
            read.stdout
                .split_inclusive(|byte| *byte == 0)
                .map(|word| &word[..word.len() - 1])
                .collect::<Vec<_>>(),
            words,
            "{script}"
        );
    }

    #[test]
    fn usual_words_stay_as_they_are() {
        let words = ["facegrad", "compare", "configs/a.toml", "--seeds", "1,2,3", "--set", "run.batch=32"];
        assert_eq!(quoted(words), words.join(" "));
    }
}
