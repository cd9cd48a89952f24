//! Graphics adapters through wgpu.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, OnceLock},
};

use burn::tensor::{
    Device, DeviceKind, Tensor,
    wgpu::{WgpuBackend, wgpu},
};

use crate::{Adapter, AdapterKind, DeviceError};

/// The graphics APIs asked for adapters, best first; an API is asked on every platform, and answers with
/// nothing where it does not exist.
const APIS: [(wgpu::Backend, WgpuBackend, &str); 4] = [
    (wgpu::Backend::Vulkan, WgpuBackend::Vulkan, "vulkan"),
    (wgpu::Backend::Metal, WgpuBackend::Metal, "metal"),
    (wgpu::Backend::Dx12, WgpuBackend::Dx12, "dx12"),
    (wgpu::Backend::Gl, WgpuBackend::Gl, "gl"),
];

/// An opened runtime cannot be opened again.
static OPENED: Mutex<Vec<(Adapter, Device)>> = Mutex::new(Vec::new());

/// All adapters, best kind first, asked for once: the Vulkan loader does not bear instances that come and go
/// on several threads at once, and an adapter is opened only after it was found here.
pub(crate) fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(enumerate)
}

fn enumerate() -> Vec<Adapter> {
    let mut all = Vec::new();
    for (backend, _, api) in APIS {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: backend.into(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut of_api: Vec<Adapter> = Vec::new();
        for adapter in pollster::block_on(instance.enumerate_adapters(backend.into())) {
            let info = adapter.get_info();
            let kind = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
                wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
                wgpu::DeviceType::Other => AdapterKind::Other,
                wgpu::DeviceType::Cpu => AdapterKind::Software,
            };
            let index = of_api.iter().filter(|a| a.kind == kind).count();
            let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
            of_api.push(Adapter { name: info.name, kind, api: api.into(), driver, index });
        }
        all.extend(of_api);
    }
    // Stable, so that of one card under two APIs the better API comes first.
    let rank = |a: &Adapter| AdapterKind::ALL.iter().position(|k| *k == a.kind);
    all.sort_by_key(rank);
    all
}

/// The adapter to use among `adapters` (best first).
pub(crate) fn pick(adapters: &[Adapter], wanted: Option<&str>) -> Result<Adapter, DeviceError> {
    let Some(best) = adapters.first() else { return Err(DeviceError::NoAdapter) };
    let Some(wanted) = wanted else {
        return match best.kind {
            AdapterKind::Software => Err(DeviceError::OnlySoftware { name: best.name.clone() }),
            _ => Ok(best.clone()),
        };
    };
    let word = wanted.to_lowercase();
    let matches = |a: &&Adapter| a.name.to_lowercase().contains(&word) || a.kind.as_str() == word;
    adapters.iter().find(matches).cloned().ok_or_else(|| DeviceError::UnknownAdapter {
        wanted: wanted.into(),
        found: adapters.iter().map(Adapter::to_string).collect::<Vec<_>>().join(", "),
    })
}

/// Opens `adapter` and runs one small operation on it, so that a broken driver shows here and not later.
pub(crate) fn open(adapter: &Adapter) -> Result<Device, DeviceError> {
    let mut opened = OPENED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, device)) = opened.iter().find(|(a, _)| a == adapter) {
        return Ok(device.clone());
    }
    let cannot_open = |reason: String| DeviceError::CannotOpen { adapter: adapter.to_string(), reason };
    let kind = match adapter.kind {
        AdapterKind::Discrete => DeviceKind::DiscreteGpu(adapter.index),
        AdapterKind::Integrated => DeviceKind::IntegratedGpu(adapter.index),
        AdapterKind::Virtual => DeviceKind::VirtualGpu(adapter.index),
        AdapterKind::Software => DeviceKind::Cpu,
        AdapterKind::Other => DeviceKind::DefaultDevice,
    };
    let api =
        APIS.iter().find(|(_, _, name)| *name == adapter.api).map_or(WgpuBackend::Auto, |(_, api, _)| *api);
    let device = Device::wgpu_options()
        .graphics_api(api)
        .device_kind(kind)
        .init()
        .map_err(|error| cannot_open(error.to_string()))?;
    let sum = catch_unwind(AssertUnwindSafe(|| {
        Tensor::<1>::from_floats([1.0, 2.0], &device)
            .sum()
            .try_into_scalar::<f32>()
            .map_err(|e| e.to_string())
    }));
    match sum {
        Ok(Ok(3.0)) => {}
        Ok(Ok(other)) => return Err(cannot_open(format!("it computes 1 + 2 = {other}"))),
        Ok(Err(reason)) => return Err(cannot_open(reason)),
        Err(_) => return Err(cannot_open("the driver failed at the first operation".into())),
    }
    opened.push((adapter.clone(), device.clone()));
    Ok(device)
}
