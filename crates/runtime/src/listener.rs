//! The agent of a seccomp filter: who answers the calls that notify (runtime-spec, config-linux.md, "Seccomp").
//!
//! The creator connects to the agent's socket before there is a container, so that an agent that is not there is an error
//! of its own. The process that loads the filter then hands the listener over itself, as the first thing it does under
//! the filter: whoever made the container may be gone by then.

use std::os::fd::{AsFd, OwnedFd};

use serde::Serialize;

use crate::plan::SeccompPlan;
use crate::state::State;

/// A connection to the agent of a filter.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: OwnedFd,
    message: Message,
}

/// `containerProcessState` of the runtime-spec.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    oci_version: String,
    fds: [&'static str; 1],
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    state: State,
}

impl Agent {
    /// Connects to the agent that the filter names, if it names one.
    pub(crate) fn connect(plan: Option<&SeccompPlan>, state: impl FnOnce() -> State) -> sys::Result<Option<Self>> {
        let Some((plan, path)) = plan.and_then(|plan| plan.listener.as_ref().map(|path| (plan, path))) else {
            return Ok(None);
        };
        let state = state();
        let message = Message {
            oci_version: state.oci_version.clone(),
            fds: ["seccompFd"],
            pid: 0,
            metadata: plan.listener_metadata.clone(),
            state,
        };
        Ok(Some(Self { socket: sys::socket::connect(path)?, message }))
    }

    /// Says which process is under the filter, by the ID that the runtime knows it by.
    pub(crate) fn is_about(&mut self, pid: u32) {
        self.message.pid = pid;
        if self.message.state.pid == 0 {
            self.message.state.pid = pid;
        }
    }

    /// Hands the listener over.
    pub(crate) fn hand_over(&self, listener: &OwnedFd) -> sys::Result<()> {
        // Strings and numbers always serialise.
        let json = serde_json::to_vec(&self.message).unwrap_or_default();
        sys::socket::send(&self.socket, &json, &[listener.as_fd()]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Status;

    #[test]
    fn the_message_is_what_the_specification_shows() {
        let state = State {
            oci_version: "1.2.1".to_owned(),
            id: "web".to_owned(),
            status: Status::Creating,
            pid: 7,
            bundle: "/b".into(),
            annotations: std::collections::HashMap::new(),
        };
        let message = Message {
            oci_version: "1.2.1".to_owned(),
            fds: ["seccompFd"],
            pid: 8,
            metadata: Some("A=b".to_owned()),
            state,
        };
        insta::assert_snapshot!(serde_json::to_string(&message).unwrap(), @r#"{"ociVersion":"1.2.1","fds":["seccompFd"],"pid":8,"metadata":"A=b","state":{"ociVersion":"1.2.1","id":"web","status":"creating","pid":7,"bundle":"/b"}}"#);
    }
}
