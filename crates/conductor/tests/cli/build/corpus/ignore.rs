//! `.dockerignore`.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = |name, ignored| {
        let files = [
            "a.txt",
            "b.md",
            "README.md",
            "d/a.txt",
            "d/b.md",
            "d/e/c.md",
            "temp",
            "d/temp1",
            "d/e/temp2",
            ".git/config",
        ];
        Case::new(name, "FROM busybox\nCOPY . /to/\n").files(&files).file(".dockerignore", ignored)
    };
    vec![
        all("ignore-names", "# a remark\n\ntemp\n.git\n")
            .lacks("/to/temp")
            .lacks("/to/.git")
            .holds("/to/d/temp1", "d/temp1"),
        all("ignore-patterns", "*.md\n*/temp*\n*/*/temp?\n")
            .lacks("/to/b.md")
            .lacks("/to/d/temp1")
            .lacks("/to/d/e/temp2")
            .holds("/to/d/b.md", "d/b.md"),
        all("ignore-everywhere", "**/*.md\n").lacks("/to/b.md").lacks("/to/d/e/c.md"),
        all("ignore-but-not", "*.md\n!README.md\n").lacks("/to/b.md").holds("/to/README.md", "README.md"),
        all("ignore-the-last-line-wins", "*.md\n!README*.md\nREADME.md\n").lacks("/to/README.md"),
        all("ignore-all-but", "*\n!d/e\n").lacks("/to/a.txt").holds("/to/d/e/c.md", "d/e/c.md").lacks("/to/d/a.txt"),
        all("ignore-a-directory-but-not-a-file-in-it", "d\n!d/e/c.md\n")
            .lacks("/to/d/a.txt")
            .holds("/to/d/e/c.md", "d/e/c.md"),
        all("ignore-with-slashes", "/temp\nd/e/\n./b.md\n").lacks("/to/temp").lacks("/to/d/e").lacks("/to/b.md"),
        all("ignore-the-dockerfile-itself", "Dockerfile\n.dockerignore\n")
            .lacks("/to/Dockerfile")
            .lacks("/to/.dockerignore"),
        all("ignore-with-spaces", "  temp  \n  # no remark\n").lacks("/to/temp"),
        Case::new("copy-what-is-ignored", "FROM busybox\nCOPY temp /temp\n")
            .file("temp", "x")
            .file(".dockerignore", "temp\n")
            .fails(),
        Case::new("add-what-is-ignored", "FROM busybox\nADD d /d\n")
            .files(&["d/a", "d/b"])
            .file(".dockerignore", "d/b\n")
            .lacks("/d/b"),
        Case::new("ignore-by-the-name-of-the-file", "")
            .files(&["a", "b"])
            .file("other.Dockerfile", "FROM busybox\nCOPY . /to/\n")
            .file("other.Dockerfile.dockerignore", "a\n")
            .file(".dockerignore", "b\n")
            .options(&["-f", "{context}/other.Dockerfile"])
            .lacks("/to/a")
            .holds("/to/b", "b"),
        Case::new("ignore-for-mounts", "FROM busybox\nRUN --mount=type=bind,target=/ctx ls -A /ctx > /x\n")
            .files(&["a", "b"])
            .file(".dockerignore", "b\nDockerfile\n.dockerignore\n")
            .holds("/x", "a\n"),
        Case::new("a-file-elsewhere", "")
            .files(&["a"])
            .file("build/Dockerfile", "FROM busybox\nCOPY a /a\n")
            .options(&["-f", "{context}/build/Dockerfile"])
            .holds("/a", "a"),
    ]
}
