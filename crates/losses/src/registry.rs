//! One registry of configs and the modules they build.

/// Declares the kinds of a section, whose configs implement `$kind`, and the modules that they build, which
/// implement `$behaviour`: two enums with a variant for each line `Module(Config) = "kind"`. Burn's records hold no
/// `dyn` modules, so that these are an enum. A module is built by `Module::new` of its config and a
/// [`Setup`](crate::Setup).
macro_rules! modules {
    (
        $(#[doc = $config_doc:literal])*
        pub enum $configs:ident: dyn $kind:ident;
        $(#[doc = $module_doc:literal])*
        pub enum $modules:ident: dyn $behaviour:ident;
        $( $(#[doc = $doc:literal])* $module:ident($config:ident) = $word:literal $(| $alias:literal)*, )*
    ) => {
        facegrad_settings::kinds! {
            $(#[doc = $config_doc])*
            pub enum $configs: dyn $kind {
                $( $(#[doc = $doc])* $module($config) = $word $(| $alias)*, )*
            }
        }

        $(#[doc = $module_doc])*
        #[derive(burn::module::Module, Debug)]
        #[allow(clippy::large_enum_variant)]
        pub enum $modules {
            $( $(#[doc = $doc])* $module($module), )*
        }

        impl std::ops::Deref for $modules {
            type Target = dyn $behaviour;

            fn deref(&self) -> &Self::Target {
                match self { $( Self::$module(module) => module, )* }
            }
        }

        impl std::ops::DerefMut for $modules {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self { $( Self::$module(module) => module, )* }
            }
        }

        impl $configs {
            /// Builds the module with its initial parameters, which depend on the seed only.
            pub fn init(&self, setup: &crate::Setup) -> $modules {
                match self { $( Self::$module(config) => $modules::$module($module::new(config, setup)), )* }
            }
        }
    };
}

pub(crate) use modules;
