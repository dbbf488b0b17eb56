//! Devices by name: `flex`, `vulkan`, `cuda:1`.

use burn::tensor::{Device, DeviceIndex, DeviceKind};
pub use multivae_kernels::on_workers;

/// Why there is no such device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The name is none of a device, or of one that is not built in. Says what there is.
    #[error("{0}")]
    Name(String),
    /// It does not answer.
    #[error("device `{name}` cannot be reached: {reason}")]
    Unreachable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// It cannot be lent.
    #[cfg(feature = "remote")]
    #[error("port {port} cannot be served: {reason}")]
    Serve {
        /// The port.
        port: u16,
        /// Why.
        reason: String,
    },
}

fn bad_name(what: impl Into<String>) -> DeviceError {
    DeviceError::Name(what.into())
}

type Result<T> = std::result::Result<T, DeviceError>;

/// A backend that this program can be built with; its name is also its feature.
pub struct Backend {
    /// Name on the command line and of the feature.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether it is compiled in.
    pub built: bool,
}

/// All backends.
pub const BACKENDS: &[Backend] = &[
    Backend { name: "flex", about: "CPU, the default", built: cfg!(feature = "flex") },
    Backend { name: "ndarray", about: "CPU by ndarray", built: cfg!(feature = "ndarray") },
    Backend { name: "wgpu", about: "GPU by the API at hand", built: cfg!(feature = "wgpu") },
    Backend { name: "vulkan", about: "GPU by Vulkan", built: cfg!(feature = "vulkan") },
    Backend { name: "metal", about: "GPU by Metal", built: cfg!(feature = "metal") },
    Backend {
        name: "cuda",
        about: "NVIDIA GPU; `cuda:1` for the second",
        built: cfg!(feature = "cuda"),
    },
    Backend {
        name: "rocm",
        about: "AMD GPU; `rocm:1` for the second",
        built: cfg!(feature = "rocm"),
    },
    Backend {
        name: "tch",
        about: "LibTorch on CPU; `tch:0` for its first CUDA GPU",
        built: cfg!(feature = "tch"),
    },
    Backend {
        name: "remote",
        about: "a Burn server, as `remote:ws://HOST:PORT`",
        built: cfg!(feature = "remote"),
    },
];

/// The device of that name, the first one built in if there is no name.
///
/// ```
/// let device = multivae::device::open(Some("flex"))?;
/// assert!(multivae::device::open(Some("abacus")).is_err());
/// # Ok::<(), multivae::device::DeviceError>(())
/// ```
///
/// # Errors
///
/// [`DeviceError`].
pub fn open(name: Option<&str>) -> Result<Device> {
    let Some(name) = name else {
        let Some(first) = BACKENDS.iter().find(|backend| backend.built) else {
            return Err(bad_name("no backend is built in; build with `--features flex`"));
        };
        return open(Some(first.name));
    };
    let (backend, place) = match name.split_once(':') {
        Some((backend, place)) => (backend, Some(place)),
        None => (name, None),
    };
    let known = BACKENDS.iter().find(|known| known.name == backend);
    match known {
        None => Err(bad_name(format!("unknown device `{name}`; {}", choice()))),
        Some(known) if !known.built => Err(bad_name(format!(
            "device `{name}` is not built in; build with `--features {backend}`; {}",
            choice()
        ))),
        Some(known) => make(known.name, place, name),
    }
}

/// The names that could be given.
fn choice() -> String {
    let built = BACKENDS.iter().filter(|backend| backend.built);
    let names: Vec<_> = built.map(|backend| format!("`{}`", backend.name)).collect();
    format!("there are {}", names.join(", "))
}

/// A device of a backend that is built in.
#[allow(
    unused_variables,
    unreachable_patterns,
    deprecated,
    reason = "which arms there are depends on the backends that are built in, of which Burn keeps \
              two no longer"
)]
fn make(backend: &str, place: Option<&str>, name: &str) -> Result<Device> {
    let index = || match place {
        None => Ok(DeviceIndex::Default),
        Some(place) => place
            .parse::<usize>()
            .map(DeviceIndex::Specified)
            .map_err(|_| bad_name(format!("device `{name}`: expected a number, found `{place}`"))),
    };
    let kind = || match index()? {
        DeviceIndex::Default => Result::Ok(DeviceKind::DefaultDevice),
        DeviceIndex::Specified(index) => Ok(DeviceKind::DiscreteGpu(index)),
    };
    let alone = |device: Device| match place {
        None => Ok(device),
        Some(_) => Err(bad_name(format!("device `{name}`: there is only `{backend}`"))),
    };
    Ok(match backend {
        #[cfg(feature = "flex")]
        "flex" => alone(Device::flex())?,
        #[cfg(feature = "ndarray")]
        "ndarray" => alone(Device::ndarray())?,
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(kind()?),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(kind()?),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(kind()?),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(index()?),
        #[cfg(feature = "rocm")]
        "rocm" => Device::rocm(index()?),
        #[cfg(feature = "tch")]
        "tch" => match index()? {
            DeviceIndex::Default => Device::libtorch(),
            DeviceIndex::Specified(index) => {
                // Burn would panic with the first tensor.
                let count = Device::enumerate(burn::tensor::DeviceType::LibTorch).into_vec().len();
                if index >= count {
                    let reason = format!("LibTorch finds {count} CUDA GPUs");
                    return Err(DeviceError::Unreachable { name: name.to_owned(), reason });
                }
                Device::libtorch_cuda(index)
            }
        },
        #[cfg(feature = "remote")]
        "remote" => {
            let Some(url) = place else {
                return Err(bad_name(format!("device `{name}`: expected `remote:ws://HOST:PORT`")));
            };
            let host = burn::tensor::remote::RemoteHost::websocket(url);
            Device::remote_options(&host).init().map_err(|error| DeviceError::Unreachable {
                name: name.to_owned(),
                reason: error.to_string(),
            })?
        }
        _ => return Err(bad_name(format!("unknown device `{name}`; {}", choice()))),
    })
}

/// Lends a device to programs on other machines, which open it as `remote:ws://HOST:PORT`, until
/// this program is interrupted. Whoever reaches the port can use it, and nothing is encrypted.
///
/// # Errors
///
/// [`DeviceError::Serve`] when the port is taken.
#[cfg(feature = "remote")]
pub fn serve(device: Device, port: u16) -> Result<()> {
    use burn::server::{RemoteServer, WebSocketTransport};
    let served = RemoteServer::new([device]).serve(WebSocketTransport::new(port));
    served.map_err(|error| DeviceError::Serve { port, reason: error.to_string() })
}

/// The devices of a backend that is built in, as they are named on the command line; `None` where
/// that is not known before one connects.
pub fn names(backend: &str) -> Option<Vec<String>> {
    use burn::tensor::DeviceType;
    #[allow(unused_variables, reason = "which arms there are depends on the backends built in")]
    let numbered = |kind: DeviceType| -> Option<Vec<String>> {
        let count = Device::enumerate(kind).into_vec().len();
        Some((0..count).map(|i| format!("{backend}:{i}")).collect())
    };
    match backend {
        #[cfg(feature = "cuda")]
        "cuda" => numbered(DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        "rocm" => numbered(DeviceType::Rocm),
        "flex" | "ndarray" => Some(vec![backend.to_owned()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_refused_with_the_known_ones() {
        let error = open(Some("tpu")).expect_err("unknown").to_string();
        assert_eq!(error, "unknown device `tpu`; there are `flex`");
    }

    #[test]
    fn a_device_that_is_not_built_in_says_how_to_build_it() {
        let Some(absent) = BACKENDS.iter().find(|backend| !backend.built) else { return };
        let error = open(Some(absent.name)).expect_err("absent").to_string();
        assert!(error.contains(&format!("--features {}", absent.name)), "{error}");
    }

    #[test]
    fn the_cpu_has_no_number() {
        assert!(open(Some("flex")).is_ok() && open(None).is_ok());
        let error = open(Some("flex:1")).expect_err("there is one").to_string();
        assert_eq!(error, "device `flex:1`: there is only `flex`");
    }
}
