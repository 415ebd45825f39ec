//! How a Dockerfile is read.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("escape", "# escape=`\nFROM busybox\nRUN echo a `\n    b > /x\nENV P=C:\\dir\nRUN echo \"$P\" > /y\n").holds("/x", "a b\n").holds("/y", "C:\\dir\n"),
        Case::new("directives", "# syntax=docker/dockerfile:1\n# escape=\\\n# check=skip=all\n\n# escape=`\nFROM busybox\nRUN echo a \\\n  b > /x\n").holds("/x", "a b\n"),
        Case::new("words-in-lower-case", "from busybox as a\nrun echo x > /x\nfrom a\nenv A=1\ncopy --from=a /x /y\ncmd [\"x\"]\n").holds("/y", "x\n"),
        Case::new("lines-of-windows", "FROM busybox\r\nENV A=1\r\nRUN echo $A \\\r\n  b > /x\r\n").holds("/x", "1 b\n"),
        Case::new("a-mark-at-the-beginning", "\u{feff}FROM busybox\nRUN echo x > /x\n").holds("/x", "x\n"),
        Case::new("blank-lines-and-remarks", "\n\n   # indented\n#\nFROM busybox\n   RUN echo x > /x # no remark\n\n# last").holds("/x", "x\n"),
        Case::new("remark-within-a-command", "FROM busybox\nRUN echo a \\\n# between\n  \\\n  b > /x\n").holds("/x", "a b\n"),
        Case::new("no-end-of-line", "FROM busybox\nRUN echo x > /x").holds("/x", "x\n"),
        Case::new("hash-in-words", "FROM busybox\nENV A=#1\nRUN echo '#2' $A > /x\n").holds("/x", "#2 #1\n"),
        Case::new("space-behind-the-escape", "FROM busybox\nRUN echo a \\  \n  b > /x\n").holds("/x", "a b\n"),
        Case::new("quotes-and-escapes", "FROM busybox\nENV A=\"a \\\"b\\\" 'c'\" B='d \"e\" \\f' C=g\\\\h\nRUN env | grep -E '^[ABC]=' | sort > /x\n").holds("/x", "A=a \"b\" 'c'\nB=d \"e\" \\f\nC=g\\h\n"),
        Case::new("tabs", "FROM\tbusybox\nENV\tA=1\tB=2\nRUN\techo $A $B > /x\n").holds("/x", "1 2\n"),
        Case::new("empty", "").fails(),
        Case::new("no-from", "RUN true\n").fails(),
        Case::new("unknown-instruction", "FROM busybox\nDANCE\n").fails(),
        Case::new("instruction-without-words", "FROM busybox\nCOPY a\n").file("a", "a").fails(),
        Case::new("heredoc-without-end", "FROM busybox\nRUN <<EOF\necho x\n").fails(),
        Case::new("read-from-standard-input", "").file("stdin.Dockerfile", "FROM busybox\nCOPY a /a\n").file("a", "a").options(&["-f", "-"]).holds("/a", "a"),
    ]
}
