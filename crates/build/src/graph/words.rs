//! How lists and histories put an instruction in words. Docker's words, so that `history` reads as people know it.

use dockerfile::CommandLine;

/// A command as a history shows it: words in brackets, or the line behind the shell.
pub(super) fn of_command(instruction: &str, line: &CommandLine, words: &[String]) -> String {
    match line {
        CommandLine::Exec(_) => format!("{instruction} {}", list(words)),
        CommandLine::Shell(_) => format!("{instruction} {}", list(words)),
    }
}

/// `RUN` as a history shows it, with the arguments that it saw.
pub(super) fn of_run(args: &[(String, String)], words: &[String]) -> String {
    let seen: String = match args.len() {
        0 => String::new(),
        count => {
            let pairs: Vec<_> = args.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("|{count} {} ", pairs.join(" "))
        }
    };
    format!("RUN {seen}{}", words.join(" "))
}

/// Words as JSON.
pub(super) fn list(words: &[String]) -> String {
    serde_json::to_string(words).unwrap_or_default().replace("\",\"", "\", \"")
}
