//! The man page: what can be asked comes from the command line's definition, the exit statuses from the text of
//! `--help`, and the rest from `sections.man`.

use std::io;

use clap::Command;
use clap_mangen::Man;

/// The sections that no definition holds, in roff.
const SECTIONS: &[u8] = include_bytes!("sections.man");

/// The title of the part of `--help` that lists the exit statuses.
const STATUSES: &str = "EXIT STATUS:";

/// The page in roff.
///
/// # Errors
/// `--help` has no list of exit statuses.
pub(crate) fn page(command: &Command) -> io::Result<String> {
    let statuses = exit_statuses(command)
        .ok_or_else(|| io::Error::other(format!("--help has no list of numbers and meanings under {STATUSES}")))?;
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    page.extend_from_slice(title(command).as_bytes());
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    arguments(command).render_options_section(&mut page)?;
    options(command).render_options_section(&mut page)?;
    page.extend_from_slice(statuses.as_bytes());
    page.extend_from_slice(SECTIONS);
    // Formatters read bytes.
    Ok(String::from_utf8(page).map_err(io::Error::other)?.replace('…', "..."))
}

/// The first lines. No date, so that the same source makes the same page; no hyphenation and a ragged right margin, so
/// that options and file names are found by searching.
fn title(command: &Command) -> String {
    let (name, version) = (command.get_name(), command.get_version().unwrap_or_default());
    format!(".TH {} 1 \"\" \"{name} {version}\" \"User Commands\"\n.nh\n.ad l\n", name.to_uppercase())
}

/// A page of HOST, PORT and the like alone.
fn arguments(command: &Command) -> Man {
    let command = command.clone().disable_help_flag(true).disable_version_flag(true);
    Man::new(command.mut_args(|argument| {
        let hidden = argument.is_hide_set() || !argument.is_positional();
        argument.help_heading("ARGUMENTS").hide(hidden)
    }))
}

/// A page of the options alone, each with the longest text that `--help` has for it.
fn options(command: &Command) -> Man {
    Man::new(command.clone().mut_args(|argument| {
        let hidden = argument.is_hide_set() || argument.is_positional();
        let text = argument.get_long_help().or(argument.get_help()).cloned().unwrap_or_default();
        argument.hide(hidden).long_help(text)
    }))
}

/// The section on exit statuses in roff, out of `--help`.
fn exit_statuses(command: &Command) -> Option<String> {
    let help = command.get_after_long_help()?.to_string();
    let (_, list) = help.split_once(STATUSES)?;
    let mut section = ".SH \"EXIT STATUS\"\n".to_owned();
    let mut lines = list.lines().skip(1).take_while(|line| !line.trim().is_empty()).peekable();
    lines.peek()?;
    for line in lines {
        let (status, meaning) = line.trim().split_once(' ')?;
        let status: u8 = status.parse().ok()?;
        section.push_str(&format!(".TP\n.B {status}\n{}\n", escape(meaning.trim())));
    }
    Some(section)
}

/// Text as roff takes it in the midst of a line.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_come_from_the_help_text() {
        let command = Command::new("x").after_long_help("EXIT STATUS:\n   0  fine\n  75  try-again\n\nMORE:\n  1  no");
        let section = exit_statuses(&command).unwrap();
        assert_eq!(section, ".SH \"EXIT STATUS\"\n.TP\n.B 0\nfine\n.TP\n.B 75\ntry\\-again\n");
        for none in ["", "EXIT STATUS:\n", "EXIT STATUS:\n\n  0  fine", "EXIT STATUS:\n  none at all"] {
            assert_eq!(exit_statuses(&Command::new("x").after_long_help(none)), None, "{none:?}");
        }
    }
}
