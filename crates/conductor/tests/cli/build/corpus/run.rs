//! `RUN`, and what it leaves of files.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("run-over-lines", "FROM busybox\nRUN echo a > /x && \\\n    # a remark between\n    echo b >> /x && \\\n\n    echo c >> /x\n").holds("/x", "a\nb\nc\n"),
        Case::new("run-exec", "FROM busybox\nRUN [\"sh\", \"-c\", \"echo $0 $HOME > /x\", \"zero\"]\nRUN [\"touch\", \"/$HOME\"]\n").holds("/x", "zero /root\n").holds("/$HOME", ""),
        Case::new("run-heredoc", "FROM busybox\nRUN <<EOF\necho one > /x\necho two >> /x\nEOF\n").holds("/x", "one\ntwo\n"),
        Case::new("run-heredoc-into-a-command", "FROM busybox\nENV A=a\nRUN cat <<EOF > /x && cat <<'EOF' > /y && cat <<-EOF > /z\nplain $A\nEOF\nquoted $A\nEOF\n\t\ttabs $A\n\tEOF\n")
            .holds("/x", "plain a\n")
            .holds("/y", "quoted $A\n")
            .holds("/z", "tabs a\n"),
        Case::new("run-heredoc-with-a-shell-of-its-own", "FROM busybox\nRUN <<EOF\n#!/bin/ash -e\ncase $- in *e*) echo stops > /x ;; esac\nEOF\n").ours_alone("with this isolation it does not find the file that it makes of such a text").holds("/x", "stops\n"),
        Case::new("run-heredoc-with-an-interpreter", "FROM busybox\nRUN <<EOF\n#!/usr/bin/awk -f\nBEGIN { print \"awk\" > \"/x\" }\nEOF\n").ours_alone("with this isolation it does not find the file that it makes of such a text").holds("/x", "awk\n"),
        Case::new("run-heredoc-for-an-interpreter", "FROM busybox\nRUN awk -f - <<EOF\nBEGIN { print \"awk\" > \"/x\" }\nEOF\n").holds("/x", "awk\n"),
        Case::new("shell", "FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN false; true\n").fails(),
        Case::new("shell-for-commands", "FROM busybox\nSHELL [\"/bin/ash\", \"-x\", \"-c\"]\nRUN echo $0 > /x\nCMD echo cmd\nENTRYPOINT echo entry\n"),
        Case::new("run-as-a-user", "FROM busybox\nRUN mkdir /srv && chown alice:staff /srv\nUSER alice:staff\nWORKDIR /srv\nRUN id -u > who; id -g >> who; pwd >> who; echo $HOME >> who\n")
            .holds("/srv/who", "1000\n50\n/srv\n/home\n"),
        Case::new("run-as-a-number", "FROM busybox\nRUN mkdir /srv && chmod 777 /srv\nUSER 1234\nRUN id -u > /srv/who; id -g >> /srv/who\n").holds("/srv/who", "1234\n0\n"),
        Case::new("run-as-nobody-known", "FROM busybox\nUSER unheard-of\nRUN true\n").fails(),
        Case::new("run-fails", "FROM busybox\nRUN exit 3\n").fails(),
        Case::new("run-nothing-to-find", "FROM busybox\nRUN [\"/no/such/program\"]\n").fails(),
        Case::new("files-removed", "FROM busybox\nRUN mkdir -p /d/e && touch /d/a /d/b /d/e/c\nRUN rm /d/a && rm -r /d/e && rm /etc/group\n").lacks("/d/a").lacks("/d/e").lacks("/d/e/c").lacks("/etc/group").holds("/d/b", ""),
        Case::new("directory-made-anew", "FROM busybox\nRUN mkdir -p /d/e && touch /d/a /d/e/b\nRUN rm -r /d && mkdir -p /d/e && touch /d/c\n").lacks("/d/a").lacks("/d/e/b").holds("/d/c", ""),
        Case::new("kinds-change", "FROM busybox\nRUN mkdir /d /e && touch /f /d/x && ln -s f /l\nRUN rm -r /d /e && echo file > /d && ln -s d /e && rm /f /l && mkdir /f && echo l > /l\n").holds("/d", "file\n").holds("/l", "l\n"),
        Case::new("modes-and-owners", "FROM busybox\nRUN touch /a /b /c && chmod 4755 /a && chmod 2711 /b && chown 12:34 /c && mkdir -m 1777 /t && mkfifo -m 600 /p && ln -s nowhere /l && chown -h 5:6 /l\nRUN chmod 600 /c && chown 7:8 /t\n"),
        Case::new("hard-links", "FROM busybox\nRUN echo x > /a && ln /a /b\nRUN ln /a /c && echo y >> /b\n").holds("/b", "x\ny\n"),
        Case::new("names-of-all-kinds", "FROM busybox\nRUN touch '/with space' '/.hidden' '/ü' \"/$(printf 'new\\nline')\" \"/$(printf '\\377')\" /.wh && mkdir /-d\n"),
        Case::new("umask", "FROM busybox\nRUN umask 077 && touch /a && mkdir /d\nRUN touch /b\n"),
        Case::new("environment-of-run", "FROM busybox\nENV A=1\nRUN echo $PATH > /x; echo $A >> /x; echo ${USER-none} >> /x\n"),
        Case::new("nothing-of-run-stays", "FROM busybox\nRUN ls -A /dev > /tmp/dev && rm /tmp/dev && cat /etc/resolv.conf /etc/hosts > /dev/null; true\n").lacks("/etc/resolv.conf").lacks("/etc/hosts").lacks("/dev/null").lacks("/proc/self"),
        Case::new("tmp-stays", "FROM busybox\nRUN echo x > /tmp/x; echo y > /run/y\n").holds("/tmp/x", "x\n").holds("/run/y", "y\n"),
        Case::new("background-processes-end", "FROM busybox\nRUN sleep 1000 & echo x > /x\n").holds("/x", "x\n"),
        Case::new("network-none", "FROM busybox\nRUN --network=none ip -o link | wc -l > /x\n").holds("/x", "1\n"),
        Case::new("unknown-flag", "FROM busybox\nRUN --nonsense=1 true\n").fails(),
    ]
}
