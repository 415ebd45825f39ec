//! What devices come to in a container: additions to its spec.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci::runtime::{
    Hook, HookBuilder, Hooks, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, LinuxIntelRdt, LinuxIntelRdtBuilder, LinuxNetDevice, Mount, MountBuilder, Spec,
};
use sys::Calling;

use crate::CdiError;
use crate::file::{FileEdits, FileHook, FileMount, Node, Rdt};

/// What is added to a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    all: FileEdits,
}

impl Edits {
    pub(crate) fn add(&mut self, more: &FileEdits) {
        let FileEdits { env, device_nodes, net_devices, mounts, hooks, additional_gids, intel_rdt } = more.clone();
        self.all.env.extend(env);
        self.all.device_nodes.extend(device_nodes);
        self.all.net_devices.extend(net_devices);
        self.all.mounts.extend(mounts);
        self.all.hooks.extend(hooks);
        self.all.additional_gids.extend(additional_gids);
        self.all.intel_rdt = intel_rdt.or(self.all.intel_rdt.take());
    }

    /// Tells whether nothing is added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns where something is mounted in the container, or a node made.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        let mounts = self.all.mounts.iter().map(|mount| mount.container_path.as_path());
        mounts.chain(self.all.device_nodes.iter().map(|node| node.path.as_path()))
    }

    /// Looks up on the host what the files leave open: the numbers and the permissions of nodes.
    pub fn looked_up(mut self) -> Result<Self, CdiError> {
        let nodes = std::mem::take(&mut self.all.device_nodes);
        self.all.device_nodes = nodes.into_iter().map(Node::completed).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Completes the spec of a container, by what was looked up. Reads nothing.
    pub fn apply(&self, spec: &mut Spec) -> Result<(), CdiError> {
        if self.is_empty() {
            return Ok(());
        }
        let owner = spec.process().as_ref().map(|process| (process.user().uid(), process.user().gid()));
        let nodes = self.all.device_nodes.iter().map(|node| plan_node(node, owner.unwrap_or_default()));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        self.apply_process(spec);
        self.apply_linux(spec, nodes)?;
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for mount in &self.all.mounts {
            mounts.retain(|known| known.destination() != &mount.container_path);
            mounts.push(plan_mount(mount)?);
        }
        spec.set_mounts(Some(mounts));
        let mut hooks = spec.hooks().clone().unwrap_or_default();
        self.all.hooks.iter().try_for_each(|hook| add_hook(&mut hooks, hook))?;
        if !self.all.hooks.is_empty() {
            spec.set_hooks(Some(hooks));
        }
        Ok(())
    }

    fn apply_process(&self, spec: &mut Spec) {
        let Some(process) = spec.process_mut() else { return };
        let mut env = process.env().clone().unwrap_or_default();
        for word in &self.all.env {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            env.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
            env.push(word.clone());
        }
        process.set_env(Some(env));
        let user = process.user_mut();
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        for group in self.all.additional_gids.iter().filter(|group| **group != 0) {
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        user.set_additional_gids(Some(groups));
    }

    fn apply_linux(&self, spec: &mut Spec, nodes: Vec<PlannedNode>) -> Result<(), CdiError> {
        let mut linux = spec.linux().clone().unwrap_or_default();
        let mut devices = linux.devices().clone().unwrap_or_default();
        let mut resources = linux.resources().clone().unwrap_or_default();
        let mut rules = resources.devices().clone().unwrap_or_default();
        for PlannedNode { device, rule } in nodes {
            devices.retain(|known| known.path() != device.path());
            devices.push(device);
            rules.extend(rule);
        }
        resources.set_devices(Some(rules));
        linux.set_resources(Some(resources));
        linux.set_devices(Some(devices));
        if !self.all.net_devices.is_empty() {
            let mut links = linux.net_devices().clone().unwrap_or_default();
            for link in &self.all.net_devices {
                let mut inside = LinuxNetDevice::default();
                inside.set_name(Some(link.name.clone()));
                links.insert(link.host_interface_name.clone(), inside);
            }
            linux.set_net_devices(Some(links));
        }
        if let Some(rdt) = &self.all.intel_rdt {
            linux.set_intel_rdt(Some(plan_rdt(rdt)?));
        }
        spec.set_linux(Some(linux));
        Ok(())
    }
}

fn incomplete(error: impl std::error::Error + Send + Sync + 'static) -> CdiError {
    CdiError::Incomplete(Box::new(error))
}

/// A node, and the rule that lets it be used.
struct PlannedNode {
    device: LinuxDevice,
    rule: Option<LinuxDeviceCgroup>,
}

/// Plans a node, of which all is known by now. It belongs to whoever uses it in the container, unless its file says otherwise.
fn plan_node(node: &Node, owner: (u32, u32)) -> Result<PlannedNode, CdiError> {
    let kind = node.kind.as_deref().map_or(LinuxDeviceType::C, kind_of);
    let (major, minor) = (node.major.unwrap_or_default(), node.minor.unwrap_or_default());
    let mut device = LinuxDeviceBuilder::default().path(&node.path).typ(kind).major(major).minor(minor);
    if let Some(mode) = node.file_mode {
        device = device.file_mode(mode);
    }
    let (uid, gid) = (node.uid.unwrap_or(owner.0), node.gid.unwrap_or(owner.1));
    let device = device.uid(uid).gid(gid).build().map_err(incomplete)?;
    if kind == LinuxDeviceType::P {
        return Ok(PlannedNode { device, rule: None });
    }
    let access = node.permissions.clone().filter(|access| !access.is_empty()).unwrap_or_else(|| "rwm".to_owned());
    let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).major(major).minor(minor).access(access);
    Ok(PlannedNode { device, rule: Some(rule.build().map_err(incomplete)?) })
}

fn kind_of(word: &str) -> LinuxDeviceType {
    match word {
        "b" => LinuxDeviceType::B,
        "u" => LinuxDeviceType::U,
        "p" => LinuxDeviceType::P,
        _ => LinuxDeviceType::C,
    }
}

impl Node {
    /// Asks the host for what the file does not say. A node of which all is said need not be there.
    fn completed(self) -> Result<Self, CdiError> {
        let is_said = match self.kind.as_deref() {
            Some("p") => true,
            Some("b" | "c" | "u") => self.major.is_some() && self.minor.is_some(),
            _ => false,
        };
        if is_said {
            return Ok(self);
        }
        let path = self.host_path.as_ref().unwrap_or(&self.path);
        let found = path.metadata().call(|| format!("stat({})", path.display()));
        let found = found.map_err(|source| CdiError::Node { path: path.clone(), source })?;
        let kind = match found.file_type() {
            kind if kind.is_char_device() => "c",
            kind if kind.is_block_device() => "b",
            kind if kind.is_fifo() => "p",
            _ => return Err(CdiError::NoNode(path.clone())),
        };
        let (major, minor) = sys::path::device_numbers(found.rdev());
        Ok(Self {
            kind: Some(kind.to_owned()),
            major: Some(major.into()),
            minor: Some(minor.into()),
            file_mode: self.file_mode.or(Some(found.mode() & 0o7777)),
            ..self
        })
    }
}

fn plan_mount(mount: &FileMount) -> Result<Mount, CdiError> {
    let is_bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
    let kind = mount.kind.clone().filter(|kind| !kind.is_empty());
    let mut options = mount.options.clone();
    if kind.is_none() && !is_bind {
        options.insert(0, "rbind".to_owned());
    }
    let built = MountBuilder::default()
        .destination(&mount.container_path)
        .source(&mount.host_path)
        .typ(kind.unwrap_or_else(|| "bind".to_owned()))
        .options(options);
    built.build().map_err(incomplete)
}

fn add_hook(hooks: &mut Hooks, file: &FileHook) -> Result<(), CdiError> {
    let mut hook = HookBuilder::default().path(&file.path);
    if !file.args.is_empty() {
        hook = hook.args(file.args.clone());
    }
    if !file.env.is_empty() {
        hook = hook.env(file.env.clone());
    }
    if let Some(timeout) = file.timeout {
        hook = hook.timeout(timeout);
    }
    let hook = hook.build().map_err(incomplete)?;
    let with = |known: &Option<Vec<Hook>>| Some(known.iter().flatten().cloned().chain([hook.clone()]).collect());
    match file.hook_name.as_str() {
        "createRuntime" => hooks.set_create_runtime(with(hooks.create_runtime())),
        "createContainer" => hooks.set_create_container(with(hooks.create_container())),
        "startContainer" => hooks.set_start_container(with(hooks.start_container())),
        "poststart" => hooks.set_poststart(with(hooks.poststart())),
        "poststop" => hooks.set_poststop(with(hooks.poststop())),
        // The oldest of the points, which the specification has given up and vendors still name.
        _ => hooks.set_prestart(with(hooks.prestart())),
    };
    Ok(())
}

fn plan_rdt(rdt: &Rdt) -> Result<LinuxIntelRdt, CdiError> {
    let mut plan = LinuxIntelRdtBuilder::default();
    if let Some(id) = &rdt.clos_id {
        plan = plan.clos_id(id.clone());
    }
    if let Some(schema) = &rdt.l3_cache_schema {
        plan = plan.l3_cache_schema(schema.clone());
    }
    if let Some(schema) = &rdt.mem_bw_schema {
        plan = plan.mem_bw_schema(schema.clone());
    }
    if let Some(schemata) = &rdt.schemata {
        plan = plan.schemata(schemata.clone());
    }
    plan.build().map_err(incomplete)
}
