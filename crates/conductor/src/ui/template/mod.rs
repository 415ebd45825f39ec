//! The templates of `--format`: the part of Go's `text/template` that people type, over JSON values.
//!
//! Fields (`{{.State.Pid}}`), variables, pipes, `if`, `else`, `with`, `range`, trim marks, comparison and the functions
//! that Docker adds (`json`, `join`, `upper`, `split`, `index`, ...). A template is read once by [`parse`] and written out
//! for any number of values by [`eval`].

mod eval;
mod functions;
mod parse;

pub(crate) use parse::Template;

/// Why a template cannot be read or written out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The text is not a template.
    #[error("template parsing error: {0}")]
    Syntax(String),
    /// The template asks for something that the value does not have.
    #[error("template error at <{place}>: {reason}")]
    Value {
        /// The part of the template.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str) -> Result<String, TemplateError> {
        let value = json!({
            "Name": "/eg",
            "State": {"Running": true, "Pid": 42, "Error": ""},
            "Config": {"Cmd": ["sleep", "1d"], "Labels": {"b.c": "2", "a": "1"}, "Env": null},
            "Mounts": [{"Source": "/s", "Destination": "/d"}, {"Source": "/t", "Destination": "/e"}],
        });
        Template::parse(text)?.render(&value)
    }

    #[test]
    fn templates_mean_what_they_mean_in_go() {
        for (text, result) in [
            ("plain", "plain"),
            ("{{.Name}}", "/eg"),
            ("{{ .State.Pid }}/{{.State.Running}}", "42/true"),
            ("{{json .Config.Cmd}}", "[\"sleep\",\"1d\"]"),
            ("{{.Config.Cmd}}", "[sleep 1d]"),
            ("{{.Config.Labels}}", "map[a:1 b.c:2]"),
            ("{{index .Config.Labels \"b.c\"}}", "2"),
            ("{{index .Config.Labels \"none\"}}", ""),
            ("{{index .Config.Cmd 1}}", "1d"),
            ("{{join .Config.Cmd \"+\"}}", "sleep+1d"),
            ("{{len .Mounts}}", "2"),
            ("{{upper .Name}} {{.Name | printf \"%q\"}}", "/EG \"/eg\""),
            ("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/s:/d /t:/e "),
            ("{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}},{{$.Name}};{{end}}", "0=/s,/eg;1=/t,/eg;"),
            ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=1 b.c=2 "),
            ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            ("{{if .State.Error}}bad{{else if eq .State.Pid 42}}fine{{else}}?{{end}}", "fine"),
            ("{{with .State}}{{.Pid}}{{end}}", "42"),
            ("{{if and .State.Running (gt .State.Pid 1)}}y{{end}}", "y"),
            ("{{if not .State.Running}}n{{end}}", ""),
            ("{{eq .Name \"/eg\" \"x\"}} {{ne 1 2}}", "true true"),
            ("a {{- /* c */ -}} b", "ab"),
            ("{{$x := .State}}{{$x.Pid}}", "42"),
            ("{{(index .Mounts 1).Source}}", "/t"),
            ("{{println .Name}}", "/eg\n"),
            ("{{.Config.Env}}", "<no value>"),
            ("{{truncate .Name 2}}|{{pad .Name 1 2}}|", "/e| /eg  |"),
            ("{{`raw`}}{{\"\\t\"}}", "raw\t"),
            ("{{printf \"%s-%d\" .Name .State.Pid}}", "/eg-42"),
            ("{{range split \"a,b\" \",\"}}<{{.}}>{{end}}", "<a><b>"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        for (text, reason) in [
            ("{{.Name", "template parsing error: unclosed action"),
            ("{{if .Name}}", "template parsing error: \"if\" without {{end}}"),
            ("{{end}}", "template parsing error: unexpected {{end}}"),
            ("{{frob .Name}}", "template parsing error: function \"frob\" not defined"),
            ("{{.Nmae}}", "template error at <.Nmae>: no such field: \"Nmae\""),
            ("{{.Name.X}}", "template error at <.Name.X>: a string has no field \"X\""),
            ("{{index .Mounts 7}}", "template error at <index>: index out of range: 7"),
            ("{{$y}}", "template parsing error: undefined variable \"$y\""),
            ("{{\"open}}", "template parsing error: unterminated string"),
        ] {
            assert_eq!(render(text).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
