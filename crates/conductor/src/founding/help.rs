//! The help of `conductor.sh`.

use std::fmt::Write;

use clap::Command;

/// A command of the grammar and its help.
struct Topic {
    verb: &'static str,
    usage: &'static str,
    about: &'static str,
    more: &'static str,
}

const TOPICS: &[Topic] = &[
    Topic {
        verb: "build",
        usage: "build IMAGE [CONDUCTORFILE]",
        about: "Build an image",
        more: "Without a file the image is a Debian base system, made by debootstrap.",
    },
    Topic {
        verb: "images",
        usage: "images",
        about: "List images",
        more: "Two header lines, then a line for each image: its name, its size, the date on which it was made.",
    },
    Topic { verb: "rmi", usage: "rmi IMAGE", about: "Remove an image", more: "" },
    Topic {
        verb: "rmcache",
        usage: "rmcache",
        about: "Remove what is kept to make builds faster",
        more: "Images and containers stay.",
    },
    Topic {
        verb: "run",
        usage: "run IMAGE NAME [-- COMMAND...]",
        about: "Run a command in a new container",
        more: "The command is /bin/bash where none is given. On a terminal it is interactive; ctrl-p ctrl-q leaves it running.\n\
               The container has no network until one is added, and stays until it is stopped, even when its command has ended.\n\
               .containers/NAME/rootfs leads into its root while it runs, so that files can be copied in with cp.",
    },
    Topic {
        verb: "ps",
        usage: "ps",
        about: "List containers",
        more: "A line for each container: its name and the date on which it was started. \"No containers\" when there are none.\n\
               A container whose command has ended is marked (exited); stop removes it.",
    },
    Topic {
        verb: "stop",
        usage: "stop NAME",
        about: "Stop a container and remove it",
        more: "Its processes are asked to end, and killed after ten seconds; all that the container changed is gone with it.",
    },
    Topic {
        verb: "exec",
        usage: "exec NAME -- COMMAND...",
        about: "Run a command in a running container",
        more: "The command is /bin/bash where none is given.",
    },
    Topic {
        verb: "addnetwork",
        usage: "addnetwork NAME [-i|--internet] [-e|--expose HOST:CONTAINER]",
        about: "Connect a container with the host, the internet, and by a port",
        more: "The container and the host reach each other. With -i the container reaches the outside too, through the link\n\
               that DEFAULT_IFC names (the environment variable, or a line of ./config.sh), or else by the host's routes.\n\
               With -e a port of the host leads to one of the container; HOST-CONTAINER means the same. -e can be repeated,\n\
               and a later addnetwork adds to an earlier one.",
    },
    Topic {
        verb: "peer",
        usage: "peer NAME NAME",
        about: "Connect two containers with each other",
        more: "They reach each other, and know each other by name.",
    },
    Topic { verb: "help", usage: "help [COMMAND]", about: "Print this help, or that of a command", more: "" },
];

/// Returns how a command is typed.
pub(super) fn usage(verb: &str) -> Option<&'static str> {
    topic(verb).map(|topic| topic.usage)
}

fn topic(verb: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.verb == verb)
}

/// Returns the help of a command, or of all of them.
pub(crate) fn text(verb: Option<&str>) -> String {
    if let Some(topic) = verb.and_then(topic) {
        let more = if topic.more.is_empty() { String::new() } else { format!("\n{}\n", topic.more) };
        return format!("Usage:  conductor.sh {}\n\n{}\n{more}", topic.usage, topic.about);
    }
    let mut text = String::from("Usage:  conductor.sh [OPTIONS] COMMAND\n\nContainers from scratch\n\nCommands:\n");
    for topic in TOPICS {
        let _ = write!(text, "  {}\n      {}\n", topic.usage, topic.about);
    }
    text.push_str(
        "\nOptions:\n  --explain             Print each change to the host as it is made, with the equivalent shell command\n  \
         --root DIR            Keep images and containers below this directory\n  \
         --state DIR           Keep the state of what runs below this directory\n  \
         --log-level LEVEL     Log this and what is more severe: trace, debug, info, warn, error or off\n\n\
         The same engine speaks Docker's grammar when it is called conductor.\n",
    );
    text
}

/// Returns the grammar in a form that a manual page can be made of.
pub(crate) fn command() -> Command {
    let commands = TOPICS.iter().map(|topic| Command::new(topic.verb).about(topic.about).override_usage(topic.usage));
    Command::new("conductor.sh")
        .about("Containers from scratch: the founding documents' grammar")
        .override_usage("conductor.sh [OPTIONS] COMMAND")
        .disable_help_subcommand(true)
        .subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        for topic in TOPICS {
            assert!(text(Some(topic.verb)).starts_with(&format!("Usage:  conductor.sh {}", topic.verb)));
        }
        assert!(text(None).contains("run IMAGE NAME [-- COMMAND...]\n      Run a command in a new container"));
    }
}
