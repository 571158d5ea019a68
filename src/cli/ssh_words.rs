//! HOST and the options of ssh behind `--bond-setup`, which are for ssh to read.

use std::ffi::OsString;

use super::invocation::BondSetup;

/// The option, and the least of it that is clear: `--bond` is another.
const FLAG: &str = "--bond-setup";
const LEAST: usize = "--bond-".len();

/// Takes HOST and what follows it off a line that has `--bond-setup`: the words right behind that, or else those behind
/// `--`, where HOST is unless it stands before it. On other lines there are none.
pub(super) fn split_off(mut args: Vec<OsString>) -> (Vec<OsString>, Option<Vec<OsString>>) {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let is_flag = |arg: &OsString| arg.to_str().is_some_and(|arg| arg.len() >= LEAST && FLAG.starts_with(arg));
    let Some(behind) = args.iter().take(end).skip(1).position(is_flag).map(|at| at + 2) else {
        return (args, None);
    };
    let is_host = args.get(behind).is_some_and(|word| !is_option(word));
    let words = args.split_off(if is_host { behind } else { end });
    let dashes = usize::from(!is_host && !words.is_empty());
    (args, Some(words.into_iter().skip(dashes).collect()))
}

/// What these words ask for, with the HOST that stands before them, if it does.
///
/// # Errors
/// What is wrong with them, in a sentence.
pub(super) fn read(host: Option<String>, words: Vec<OsString>, if_needed: bool) -> Result<BondSetup, String> {
    let mut words = words.into_iter().peekable();
    let host = match host {
        Some(host) => host,
        None => {
            let host = words.next().ok_or("no HOST given: write --bond-setup HOST, as for ssh")?;
            let host = host.into_string().map_err(|_| "HOST is not UTF-8")?;
            // Of use where HOST does not stand behind them.
            let _ = words.next_if(|word| word == "--");
            host
        }
    };
    // ssh has options of one letter alone.
    let ours = |word: &OsString| word.as_encoded_bytes().starts_with(b"--");
    let ssh_options: Vec<OsString> = words.collect();
    if let Some(word) =
        ssh_options.first().filter(|word| !is_option(word)).or(ssh_options.iter().find(|word| ours(word)))
    {
        let word = word.to_string_lossy();
        return Err(format!(
            "what follows HOST are options of ssh, and {word:?} is none; ours stand before --bond-setup"
        ));
    }
    Ok(BondSetup { host, ssh_options, if_needed })
}

fn is_option(word: &OsString) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_words_of_ssh_are_split_off() {
        for (line, left, taken) in [
            ("p --bond-setup web", "p --bond-setup", Some("web")),
            ("p -v --bond-setup me@web -p 22 -i key", "p -v --bond-setup", Some("me@web -p 22 -i key")),
            ("p --bond-setup --if-needed -- web -p 22", "p --bond-setup --if-needed", Some("web -p 22")),
            ("p --bond-set -- -web", "p --bond-set", Some("-web")),
            ("p web --bond-setup -- -p 22", "p web --bond-setup", Some("-p 22")),
            ("p --bond-setup --profile a", "p --bond-setup --profile a", Some("")),
            ("p --bond-setup", "p --bond-setup", Some("")),
            ("p --bond web", "p --bond web", None),
            ("p --bond -- --bond-setup web", "p --bond -- --bond-setup web", None),
        ] {
            assert_eq!(split_off(words(line)), (words(left), taken.map(words)), "{line}");
        }
    }

    #[test]
    fn what_follows_the_host_are_options() {
        let read = |host: Option<&str>, line| read(host.map(str::to_owned), words(line), false);
        for (host, line, options) in [
            (None, "web", ""),
            (None, "web -p 22", "-p 22"),
            (None, "web -- -p 22", "-p 22"),
            (Some("web"), "-p 22", "-p 22"),
        ] {
            let asked = BondSetup { host: "web".to_owned(), ssh_options: words(options), if_needed: false };
            assert_eq!(read(host, line), Ok(asked), "{line}");
        }
        assert!(read(None, "").unwrap_err().starts_with("no HOST given"));
        for line in ["web other", "web --profile prod", "web -p 22 --if-needed"] {
            assert!(read(None, line).unwrap_err().contains("options of ssh"), "{line}");
        }
    }
}
