//! How much room containers and volumes take: what they were filled with, walked.

use std::collections::HashSet;

use store::{CacheItem, ImagesUsage};

use crate::error::Doing;
use crate::{Container, ContainerId, ContainerName, Engine, Error, MountSource, Status, ledger, records};

/// How much room everything takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUsage {
    /// The images.
    pub images: ImagesUsage,
    /// What each container changed, and what it wrote to its log.
    pub containers: Vec<ContainerUsage>,
    /// The volumes.
    pub volumes: Vec<VolumeUsage>,
    /// What builds keep, what was used last first.
    pub cache: Vec<CacheItem>,
}

/// How much room a container takes beside its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The image, as the user named it.
    pub image: String,
    /// Its directory: changes, log and records.
    pub size: u64,
    /// Whether it runs.
    pub running: bool,
}

/// How much room a volume takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub size: u64,
    /// How many containers have it.
    pub users: usize,
}

impl Engine {
    /// Tells how much room everything takes.
    pub fn disk_usage(&self) -> Result<DiskUsage, Error> {
        let summaries = self.list(true)?;
        let users = |id: &oci::Digest| {
            let user = self.users_of_image(id).ok()?.into_iter().next()?;
            Some(store::Usage { user: format!("container {user}"), running: false })
        };
        let images = self.store().images().usage(&users)?;
        let mut containers = Vec::new();
        for summary in summaries {
            let path = self.layout().container(&summary.id);
            let size = store::tree_size(&path).doing(|| format!("measure container {}", summary.name))?;
            let running = matches!(summary.state.status, Status::Running | Status::Restarting);
            containers.push(ContainerUsage { id: summary.id, name: summary.name, image: summary.image, size, running });
        }
        let cache = self.store().cache().items()?;
        Ok(DiskUsage { images, volumes: self.volumes_usage(&containers)?, containers, cache })
    }

    fn volumes_usage(&self, containers: &[ContainerUsage]) -> Result<Vec<VolumeUsage>, Error> {
        let directory = self.layout().volumes();
        let doing = || "list the volumes";
        let mut volumes = Vec::new();
        let all: Vec<Container> =
            containers.iter().filter_map(|one| records::container(self.layout(), &one.id).ok().flatten()).collect();
        for name in ledger::names_in(&directory).doing(doing)? {
            let users = all.iter().filter(|container| volumes_of(container).contains(name.as_str())).count();
            let size = store::tree_size(&directory.join(&name)).doing(|| format!("measure volume {name}"))?;
            volumes.push(VolumeUsage { name, size, users });
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }
}

fn volumes_of(container: &Container) -> HashSet<&str> {
    let named = container.request.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some(name.as_str()),
        _ => None,
    });
    named.collect()
}
