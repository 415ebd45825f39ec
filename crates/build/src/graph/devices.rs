//! `RUN --device`: which devices of this machine a command gets.

use cdi::{Device, DeviceName};
use dockerfile::Span;

use super::plan::Planner;
use crate::DeviceRights;
use crate::error::BuildError;

impl Planner<'_> {
    /// Finds devices. One that this machine does not offer is left away with a warning, unless the command is of no use without it
    /// (Dockerfile reference, "RUN --device").
    pub(super) fn devices(&mut self, wanted: &[dockerfile::Device], span: Span) -> Result<Vec<DeviceName>, BuildError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let catalogue = self.bases.devices();
        let mut names = Vec::new();
        for device in wanted {
            let found = catalogue.matching(&device.name);
            if found.is_empty() {
                let none = catalogue.lacks(&device.name).to_string();
                if device.required {
                    return Err(self.wrong(span, none));
                }
                self.graph.warnings.push(format!("{none}: RUN goes without it"));
            }
            for found in found {
                if !self.request.devices.allow(found) {
                    let name = found.name();
                    return Err(self.wrong(span, format!("the device {name} must be allowed: --allow device={name}")));
                }
                if !names.contains(found.name()) {
                    names.push(found.name().clone());
                }
            }
        }
        Ok(names)
    }
}

impl DeviceRights {
    fn allow(&self, device: &Device) -> bool {
        let name = device.name();
        device.is_allowed()
            || match self {
                Self::None => false,
                Self::Some(allowed) => allowed.iter().any(|word| *word == name.kind || *word == name.to_string()),
                Self::All => true,
            }
    }
}
