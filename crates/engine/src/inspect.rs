//! A container in Docker's JSON, as `inspect` prints it.
//!
//! The names and shapes are those of Docker's Engine API, so that tools and templates written for it work. What Docker
//! has and we do not is left out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::layout::Layout;
use crate::network::NetworkSettings;
use crate::{
    Container, Engine, Error, Health, HealthCheck, ImageHealth, LogDriver, MountPoint, MountSource, Resources, State,
    Status, create, spec,
};

/// A container in Docker's JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct Inspection {
    pub id: String,
    pub created: String,
    pub path: String,
    pub args: Vec<String>,
    pub state: StateView,
    pub image: String,
    pub resolv_conf_path: PathBuf,
    pub hostname_path: PathBuf,
    pub hosts_path: PathBuf,
    pub log_path: PathBuf,
    pub name: String,
    pub restart_count: u32,
    pub driver: &'static str,
    pub platform: &'static str,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver,
    pub mounts: Vec<MountPoint>,
    pub config: Config,
    pub network_settings: NetworkSettings,
}

/// How the container fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct StateView {
    pub status: &'static str,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    pub pid: i32,
    pub exit_code: i32,
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// What was asked of the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct HostConfig {
    pub binds: Vec<String>,
    pub log_config: LogConfig,
    pub network_mode: String,
    pub restart_policy: RestartPolicyView,
    pub auto_remove: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub group_add: Vec<String>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    pub tmpfs: BTreeMap<String, String>,
    pub shm_size: u64,
    pub sysctls: BTreeMap<String, String>,
    pub runtime: &'static str,
    pub init: bool,
    pub nano_cpus: u64,
    pub cpu_shares: u64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub memory: u64,
    pub memory_reservation: u64,
    pub memory_swap: i64,
    pub pids_limit: i64,
    pub oom_score_adj: i32,
    pub ulimits: Vec<UlimitView>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub cgroup_parent: String,
}

/// Where the output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub driver: &'static str,
    pub config: BTreeMap<&'static str, String>,
}

/// What is done when the container has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct RestartPolicyView {
    pub name: &'static str,
    pub maximum_retry_count: u32,
}

/// A limit of a single process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct UlimitView {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// Where the container's changes lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct GraphDriver {
    pub name: &'static str,
    pub data: BTreeMap<&'static str, PathBuf>,
}

/// What runs inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct Config {
    pub hostname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub image: String,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<ImageHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
}

impl Engine {
    /// Tells everything about a container, in Docker's form.
    pub fn inspect(&self, container: &Container) -> Result<Inspection, Error> {
        self.sweep()?;
        let state = self.state(container)?;
        let image =
            self.store().images().load(&container.image_id).ok().and_then(|image| image.config.config().clone());
        let networks = crate::network::settings(self.layout(), container, state.pid)?;
        Ok(Inspection { network_settings: networks, ..view(self.layout(), container, &state, image.as_ref()) })
    }
}

fn view(layout: &Layout, container: &Container, state: &State, image: Option<&oci::image::Config>) -> Inspection {
    let id = &container.id;
    let run = layout.run(id);
    Inspection {
        id: id.to_string(),
        created: container.created.to_string(),
        path: container.args.first().cloned().unwrap_or_default(),
        args: container.args.iter().skip(1).cloned().collect(),
        state: view_state(state),
        image: container.image_id.to_string(),
        resolv_conf_path: run.join("resolv.conf"),
        hostname_path: run.join("hostname"),
        hosts_path: run.join("hosts"),
        log_path: log_path(layout, container),
        // Docker's names begin with a slash here, and tools take it off.
        name: format!("/{}", container.name),
        restart_count: state.restarts,
        driver: "erofs-overlay",
        platform: "linux",
        host_config: view_host(container),
        graph_driver: GraphDriver {
            name: "erofs-overlay",
            data: [("UpperDir", container.upper(layout)), ("WorkDir", container.work(layout))].into(),
        },
        mounts: view_mounts(layout, container),
        config: view_config(container, image),
        network_settings: NetworkSettings::default(),
    }
}

/// Docker calls the mode by the first network.
fn network_mode(request: &crate::CreateRequest) -> String {
    match (&request.network, request.networks.first()) {
        (crate::NetworkMode::Networks, Some(first)) => first.network.clone(),
        (crate::NetworkMode::Networks, None) => crate::network::DEFAULT_NETWORK.to_owned(),
        (mode, _) => mode.clone().into(),
    }
}

/// What Docker's API says of a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn view_state(state: &State) -> StateView {
    let time = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    StateView {
        status: state.status.as_str(),
        // Docker calls a container that waits for its restart running as well.
        running: matches!(state.status, Status::Running | Status::Restarting),
        paused: false,
        restarting: state.status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: state.status == Status::Dead,
        pid: state.pid.unwrap_or(0),
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: time(state.started_at),
        finished_at: time(state.finished_at),
        health: state.health.clone(),
    }
}

fn view_host(container: &Container) -> HostConfig {
    let request = &container.request;
    let Resources { memory, memory_swap, .. } = &request.resources;
    let resources = &request.resources;
    let twice = memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(2));
    let hidden = |paths: &[&str]| -> Vec<String> {
        let shown = request.privileged || request.security.unmask;
        paths.iter().filter(|_| !shown).map(|path| (*path).to_owned()).collect()
    };
    HostConfig {
        binds: request.mounts.iter().filter_map(bind).collect(),
        log_config: view_log(container),
        network_mode: network_mode(request),
        restart_policy: RestartPolicyView {
            name: request.restart.name(),
            maximum_retry_count: request.restart.limit(),
        },
        auto_remove: request.remove_on_exit,
        cap_add: request.cap_add.clone(),
        cap_drop: request.cap_drop.clone(),
        group_add: request.group_add.clone(),
        privileged: request.privileged,
        readonly_rootfs: request.read_only,
        security_opt: request.security.words(),
        tmpfs: request.mounts.iter().filter_map(tmpfs).collect(),
        shm_size: resources.shm_size.unwrap_or(crate::DEFAULT_SHM),
        sysctls: request.sysctls.clone(),
        runtime: "conductor",
        init: request.init,
        nano_cpus: resources.nano_cpus.unwrap_or(0),
        cpu_shares: resources.cpu_shares.unwrap_or(0),
        cpuset_cpus: resources.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: resources.cpuset_mems.clone().unwrap_or_default(),
        memory: memory.unwrap_or(0),
        memory_reservation: resources.memory_reservation.unwrap_or(0),
        memory_swap: memory_swap.or(twice).unwrap_or(0),
        pids_limit: resources.pids_limit.unwrap_or(crate::DEFAULT_PIDS),
        oom_score_adj: resources.oom_score_adj.unwrap_or(0),
        ulimits: resources
            .ulimits
            .iter()
            .map(|limit| UlimitView { name: limit.name.clone(), soft: limit.soft, hard: limit.hard })
            .collect(),
        masked_paths: hidden(spec::MASKED),
        readonly_paths: hidden(spec::READ_ONLY),
        cgroup_parent: "/conductor".to_owned(),
    }
}

fn view_log(container: &Container) -> LogConfig {
    let log = &container.request.log;
    LogConfig { driver: log.driver.name(), config: log.words().into_iter().collect() }
}

fn log_path(layout: &Layout, container: &Container) -> PathBuf {
    match container.request.log.driver {
        LogDriver::JsonFile => layout.log(&container.id),
        LogDriver::Local => layout.local_log(&container.id),
        LogDriver::Journald | LogDriver::None => PathBuf::new(),
    }
}

fn bind(mount: &crate::MountRequest) -> Option<String> {
    let source = match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Volume { name: Some(name), .. } => name.to_string(),
        _ => return None,
    };
    let access = if mount.read_only { ":ro" } else { "" };
    Some(format!("{source}:{}{access}", mount.target.display()))
}

fn tmpfs(mount: &crate::MountRequest) -> Option<(String, String)> {
    let MountSource::Tmpfs { options } = &mount.source else { return None };
    Some((mount.target.display().to_string(), options.join(",")))
}

fn view_mounts(layout: &Layout, container: &Container) -> Vec<MountPoint> {
    let view = |mount: &crate::MountRequest| {
        let (kind, name, source, propagation) = match &mount.source {
            MountSource::Bind { path, propagation, .. } => ("bind", None, path.clone(), propagation.as_str()),
            MountSource::Volume { name, .. } => {
                let name = name.as_ref().map(ToString::to_string);
                let source = name.as_deref().map(|name| spec::volume_data(&layout.volumes(), name));
                ("volume", name, source.unwrap_or_default(), "rprivate")
            }
            MountSource::Tmpfs { .. } => ("tmpfs", None, PathBuf::new(), ""),
        };
        MountPoint { kind, name, source, destination: mount.target.clone(), writable: !mount.read_only, propagation }
    };
    container.request.mounts.iter().map(view).collect()
}

fn view_config(container: &Container, image: Option<&oci::image::Config>) -> Config {
    let request = &container.request;
    let of_image = |words: Option<&Option<Vec<String>>>| words.cloned().flatten();
    let entrypoint = request.entrypoint.clone().or_else(|| of_image(image.map(oci::image::Config::entrypoint)));
    let skipped = entrypoint.as_ref().map_or(0, Vec::len);
    let mut env = of_image(image.map(oci::image::Config::env)).unwrap_or_default();
    spec::merge_environment(&mut env, &request.env);
    let text = |own: &Option<String>, image: Option<&Option<String>>| {
        own.clone().or_else(|| image.cloned().flatten()).unwrap_or_default()
    };
    Config {
        hostname: create::own_hostname(container).to_owned(),
        user: text(&request.user, image.map(oci::image::Config::user)),
        attach_stdin: request.stdin_once,
        tty: request.tty,
        open_stdin: request.open_stdin,
        stdin_once: request.stdin_once,
        env,
        cmd: container.args.iter().skip(skipped).cloned().collect(),
        image: request.image.clone(),
        working_dir: text(&request.workdir, image.map(oci::image::Config::working_dir)),
        entrypoint,
        labels: labels(request, image),
        healthcheck: container.health.as_ref().map(HealthCheck::view),
        stop_signal: request.stop_signal.map(|signal| signal.to_string()),
        stop_timeout: request.stop_timeout,
    }
}

/// The image's labels, and the container's own over them.
pub(crate) fn labels(request: &crate::CreateRequest, image: Option<&oci::image::Config>) -> BTreeMap<String, String> {
    let of_image = image.and_then(|image| image.labels().clone()).unwrap_or_default();
    of_image.into_iter().chain(request.labels.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerId, CreateRequest};

    #[test]
    fn an_inspection_has_docker_s_names() {
        let request =
            CreateRequest { image: "mydebian".into(), command: vec!["true".into()], ..CreateRequest::default() };
        let container = Container {
            id: ContainerId::from_bytes([1; 32]),
            name: "eg".parse().unwrap(),
            created: Timestamp::UNIX_EPOCH,
            image_id: oci::Digest::of(b"image"),
            args: vec!["true".into(), "x".into()],
            anonymous_volumes: Vec::new(),
            health: None,
            request,
        };
        let layout = Layout::new("/root".into(), "/state".into());
        let view = serde_json::to_value(view(&layout, &container, &State::default(), None)).unwrap();
        for (pointer, value) in [
            ("/Name", "/eg".into()),
            ("/Path", "true".into()),
            ("/Args/0", "x".into()),
            ("/State/Status", "created".into()),
            ("/State/OOMKilled", false.into()),
            ("/State/FinishedAt", NEVER.into()),
            ("/HostConfig/NetworkMode", "none".into()),
            ("/HostConfig/ShmSize", (64 << 20).into()),
            ("/Config/Image", "mydebian".into()),
            ("/Config/Cmd/0", "true".into()),
        ] {
            assert_eq!(view.pointer(pointer), Some::<&serde_json::Value>(&value), "{pointer}");
        }
    }
}
