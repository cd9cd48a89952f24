//! Where a model runs: the backends this binary holds, the adapters of this machine, the choice among them.
//!
//! Burn picks its device at run time, but panics at the first tensor operation when a driver is missing, and
//! takes a software rasteriser without a word. [`choose`] asks first and answers with a sentence. What is computed on a
//! device is not known here.
//!
//! ```
//! use facegrad_devices::{Backend, choose};
//!
//! # fn main() -> Result<(), facegrad_devices::DeviceError> {
//! let chosen = choose(Backend::built_in()[0], None)?;
//! println!("computed by {}", chosen.description); // flex on 8 CPU threads
//!
//! // Only wgpu has adapters to choose from.
//! let error = choose(Backend::built_in()[0], Some("GeForce")).unwrap_err();
//! # if chosen.backend != Backend::Wgpu {
//! assert!(error.to_string().starts_with("--adapter \"GeForce\" has no effect"));
//! # }
//! # Ok(())
//! # }
//! ```

#[cfg(not(any(feature = "flex", feature = "ndarray", feature = "wgpu")))]
compile_error!("facegrad needs at least one backend: build with --features flex, ndarray or wgpu");

#[cfg(feature = "wgpu")]
mod gpu;
pub mod machine;
pub mod process;

use burn::tensor::Device;
use facegrad_settings::choice;

choice! {
    /// What does the arithmetic.
    pub enum Backend {
        /// The CPU, through burn-flex: the default.
        Flex = "flex",
        /// The CPU, through burn-ndarray.
        NdArray = "ndarray",
        /// A GPU, through wgpu (Vulkan, Metal, DirectX 12).
        Wgpu = "wgpu",
    }
}

impl Backend {
    /// Whether this binary was built with it.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// The backends this binary was built with, the default first.
    pub fn built_in() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|b| b.is_built_in()).collect()
    }
}

choice! {
    /// What an adapter is.
    pub enum AdapterKind {
        /// A graphics card of its own.
        Discrete = "discrete GPU",
        /// A graphics unit inside the processor.
        Integrated = "integrated GPU",
        /// A GPU lent by a virtual machine's host.
        Virtual = "virtual GPU",
        /// Something the driver does not name.
        Other = "other",
        /// A software rasteriser on the CPU: correct, and very slow.
        Software = "software",
    }
}

/// A graphics adapter that wgpu can open.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Adapter {
    /// As the driver names it.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The graphics API: `vulkan`, `metal`, `dx12` or `gl`.
    pub api: String,
    /// Driver and version, where reported.
    pub driver: String,
    /// Its place among the adapters of the same kind and API.
    index: usize,
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.kind, self.api)
    }
}

/// A device to compute on, and its name for logs and results.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Which backend.
    pub backend: Backend,
    /// The device, without autodiff.
    pub device: Device,
    /// Such as `flex on 2 CPU threads` or `wgpu on NVIDIA L4 (discrete GPU, vulkan)`.
    pub description: String,
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum DeviceError {
    /// Not compiled in.
    #[error(
        "this binary was built without the {backend} backend; it holds {held}. Build with --features {backend}"
    )]
    NotBuiltIn { backend: Backend, held: String },
    /// No adapter at all.
    #[error(
        "wgpu found no graphics adapter: install a Vulkan driver (on Debian mesa-vulkan-drivers or the vendor's), or use --backend flex"
    )]
    NoAdapter,
    /// Only a software rasteriser, which nobody asked for by name.
    #[error(
        "the only graphics adapter is {name}, a software rasteriser far slower than --backend flex; name it with --adapter to use it all the same"
    )]
    OnlySoftware { name: String },
    /// No adapter of that name.
    #[error("no graphics adapter is called \"{wanted}\"; there are: {found}")]
    UnknownAdapter { wanted: String, found: String },
    /// An adapter was named for a backend that has none.
    #[error("--adapter \"{wanted}\" has no effect with --backend {backend}; it belongs to --backend wgpu")]
    AdapterWithoutWgpu { wanted: String, backend: Backend },
    /// The driver refused.
    #[error("wgpu could not open {adapter}: {reason}")]
    CannotOpen { adapter: String, reason: String },
}

/// The graphics adapters of this machine, best first; empty without wgpu or without a driver.
pub fn adapters() -> Vec<Adapter> {
    #[cfg(feature = "wgpu")]
    return gpu::adapters().to_vec();
    #[cfg(not(feature = "wgpu"))]
    Vec::new()
}

/// The device for `backend`; `adapter` names a graphics adapter by part of its name or by its kind.
///
/// A software rasteriser is taken only when named.
pub fn choose(backend: Backend, adapter: Option<&str>) -> Result<Chosen, DeviceError> {
    if !backend.is_built_in() {
        let held = Backend::built_in().iter().map(|b| b.as_str()).collect::<Vec<_>>().join(", ");
        return Err(DeviceError::NotBuiltIn { backend, held });
    }
    if let (Some(wanted), false) = (adapter, backend == Backend::Wgpu) {
        return Err(DeviceError::AdapterWithoutWgpu { wanted: wanted.into(), backend });
    }
    match backend {
        #[cfg(feature = "flex")]
        Backend::Flex => Ok(on_cpu(backend, Device::flex())),
        #[cfg(feature = "ndarray")]
        Backend::NdArray => Ok(on_cpu(backend, ndarray())),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => {
            let adapter = gpu::pick(gpu::adapters(), adapter)?;
            let device = gpu::open(&adapter)?;
            Ok(Chosen { backend, device, description: format!("wgpu on {adapter}") })
        }
        #[allow(unreachable_patterns)]
        absent => unreachable!("{absent} was found to be built in"),
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn on_cpu(backend: Backend, device: Device) -> Chosen {
    let threads = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|n| n.parse().ok())
        .filter(|n| *n > 0)
        .or_else(|| std::thread::available_parallelism().map(usize::from).ok())
        .unwrap_or(1);
    let plural = if threads == 1 { "" } else { "s" };
    Chosen { backend, device, description: format!("{backend} on {threads} CPU thread{plural}") }
}

/// Burn marks its ndarray backend as deprecated; facegrad keeps it as the second CPU backend.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tensor;

    #[test]
    fn every_cpu_backend_computes() {
        for backend in Backend::built_in().into_iter().filter(|b| *b != Backend::Wgpu) {
            let chosen = choose(backend, None).unwrap();
            let sum = Tensor::<1>::from_floats([1.0, 2.0, 3.5], &chosen.device).sum().into_scalar::<f32>();
            assert_eq!(sum, 6.5, "{}", chosen.description);
        }
    }

    #[test]
    fn an_absent_backend_and_a_misplaced_adapter_are_sentences() {
        if !Backend::Wgpu.is_built_in() {
            let error = choose(Backend::Wgpu, None).unwrap_err().to_string();
            assert!(error.starts_with("this binary was built without the wgpu backend"), "{error}");
        }
        let backend = Backend::built_in()[0];
        if backend != Backend::Wgpu {
            let error = choose(backend, Some("x")).unwrap_err();
            assert_eq!(error, DeviceError::AdapterWithoutWgpu { wanted: "x".into(), backend });
        }
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn threads_may_ask_for_an_adapter_at_once() {
        std::thread::scope(|threads| {
            let started: Vec<_> = (0..8).map(|_| threads.spawn(computes_on_all)).collect();
            for thread in started {
                thread.join().unwrap();
            }
        });

        fn computes_on_all() {
            for chosen in facegrad_test_devices::devices() {
                let x = Tensor::<2>::ones([3, 4], &chosen.device);
                let sum = x.clone().matmul(x.transpose()).sum().into_scalar::<f32>();
                assert_eq!(sum, 36.0, "{}", chosen.description);
            }
        }
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn of_one_card_under_two_apis_vulkan_is_taken() {
        let found = adapters();
        for kind in AdapterKind::ALL {
            let apis: Vec<_> = found.iter().filter(|a| a.kind == *kind).map(|a| a.api.as_str()).collect();
            if apis.contains(&"vulkan") {
                assert_eq!(apis[0], "vulkan", "{found:?}");
            }
        }
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn a_software_rasteriser_is_taken_only_by_name() {
        let adapter = |name: &str, kind, index| Adapter {
            name: name.into(),
            kind,
            api: "vulkan".into(),
            driver: String::new(),
            index,
        };
        let software = adapter("llvmpipe (LLVM 15.0)", AdapterKind::Software, 0);
        let card = adapter("Some Card", AdapterKind::Discrete, 0);
        assert_eq!(gpu::pick(&[], None), Err(DeviceError::NoAdapter));
        assert_eq!(
            gpu::pick(std::slice::from_ref(&software), None),
            Err(DeviceError::OnlySoftware { name: software.name.clone() })
        );
        let both = [card.clone(), software.clone()];
        assert_eq!(gpu::pick(&both, None), Ok(card));
        assert_eq!(gpu::pick(&both, Some("LLVMPIPE")), Ok(software.clone()));
        assert_eq!(gpu::pick(&both, Some("software")), Ok(software));
        assert!(matches!(gpu::pick(&both, Some("radeon")), Err(DeviceError::UnknownAdapter { .. })));
    }
}
