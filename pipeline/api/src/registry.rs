//! How a component says that it is there: at link time, in one line.

use crate::component::{Component, Delivery, Exporter, Extension, Processor, Receiver};
use crate::config::{Decoded, Node, Problem, decode};
use crate::context::Context;
use crate::error::Result;
use crate::per_series::{Memo, PerSeries};

/// Registers a component: `pipeline::register! { per_series Labels }`. The kinds are `receiver`, `processor`,
/// `per_series` (a processor of identities), `exporter` and `extension`. The crate has to be linked (`use my_crate as _;`).
#[macro_export]
macro_rules! register {
    ($kind:ident $component:ty) => {
        $crate::inventory::submit! {
            $crate::Registration::$kind::<$component>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), file!())
        }
    };
}

/// A component type that this binary has.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registration {
    /// The type in the configuration.
    pub type_name: &'static str,
    /// The crate it is from.
    pub crate_name: &'static str,
    /// The version of that crate.
    pub version: &'static str,
    /// The source file that registers it.
    pub file: &'static str,
    /// The JSON schema of its configuration.
    pub schema: fn() -> schemars::Schema,
    /// How it is made.
    pub factory: Factory,
}

inventory::collect!(Registration);

/// Decodes a component's configuration; what comes back builds it.
pub type Decode<T> = fn(&Node) -> Result<Decoded<Build<T>>, Vec<Problem>>;
/// Builds a component whose configuration was decoded.
pub type Build<T> = Box<dyn FnOnce(&Context) -> Result<T>>;

/// How a component is made, by kind.
#[derive(Debug)]
pub enum Factory {
    /// A receiver.
    Receiver(Decode<Box<dyn Receiver>>),
    /// A processor.
    Processor(Decode<Box<dyn Processor>>),
    /// An exporter, and its defaults for queue, retry and time-out.
    Exporter(Decode<Box<dyn Exporter>>, fn() -> Delivery),
    /// An extension.
    Extension(Decode<Box<dyn Extension>>),
}

impl Factory {
    /// `receiver`, `processor`, `exporter` or `extension`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Factory::Receiver(_) => "receiver",
            Factory::Processor(_) => "processor",
            Factory::Exporter(..) => "exporter",
            Factory::Extension(_) => "extension",
        }
    }

    /// What is wrong with this configuration, before anything is built of it.
    #[must_use]
    pub fn refused(&self, node: &Node) -> Option<Vec<Problem>> {
        match self {
            Factory::Receiver(decode) => decode(node).err(),
            Factory::Processor(decode) => decode(node).err(),
            Factory::Exporter(decode, _) => decode(node).err(),
            Factory::Extension(decode) => decode(node).err(),
        }
    }
}

impl Registration {
    /// All that are linked, sorted by kind and type.
    #[must_use]
    pub fn all() -> Vec<&'static Registration> {
        let mut all: Vec<_> = inventory::iter::<Registration>.into_iter().collect();
        all.sort_by_key(|it| (it.factory.kind(), it.type_name, it.crate_name));
        all
    }

    /// Used by [`register!`].
    #[must_use]
    pub const fn receiver<T: Component + Receiver>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
    ) -> Registration {
        let factory =
            Factory::Receiver(|node| decode_then::<T, _>(node, |component| Box::new(component)));
        Registration::of::<T>(crate_name, version, file, factory)
    }

    /// Used by [`register!`].
    #[must_use]
    pub const fn processor<T: Component + Processor>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
    ) -> Registration {
        let factory =
            Factory::Processor(|node| decode_then::<T, _>(node, |component| Box::new(component)));
        Registration::of::<T>(crate_name, version, file, factory)
    }

    /// Used by [`register!`].
    #[must_use]
    pub const fn per_series<T: Component + PerSeries>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
    ) -> Registration {
        let factory = Factory::Processor(|node| {
            decode_then::<T, _>(node, |stage| Box::new(Memo::<T>::new(stage)))
        });
        Registration::of::<T>(crate_name, version, file, factory)
    }

    /// Used by [`register!`].
    #[must_use]
    pub const fn exporter<T: Component + Exporter>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
    ) -> Registration {
        let factory = Factory::Exporter(
            |node| decode_then::<T, _>(node, |component| Box::new(component)),
            T::delivery,
        );
        Registration::of::<T>(crate_name, version, file, factory)
    }

    /// Used by [`register!`].
    #[must_use]
    pub const fn extension<T: Component + Extension>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
    ) -> Registration {
        let factory =
            Factory::Extension(|node| decode_then::<T, _>(node, |component| Box::new(component)));
        Registration::of::<T>(crate_name, version, file, factory)
    }

    const fn of<T: Component>(
        crate_name: &'static str,
        version: &'static str,
        file: &'static str,
        factory: Factory,
    ) -> Registration {
        let schema = || {
            schemars::generate::SchemaSettings::draft07()
                .into_generator()
                .into_root_schema_for::<T::Config>()
        };
        Registration {
            type_name: T::TYPE,
            crate_name,
            version,
            file,
            schema,
            factory,
        }
    }
}

fn decode_then<T: Component + 'static, D: ?Sized + 'static>(
    node: &Node,
    boxed: fn(T) -> Box<D>,
) -> Result<Decoded<Build<Box<D>>>, Vec<Problem>> {
    let decoded = decode::<T::Config>(node)?;
    let config = decoded.value;
    let build = move |context: &Context| T::build(config, context).map(boxed);
    Ok(Decoded {
        value: Box::new(build),
        secrets: decoded.secrets,
        typed: decoded.typed,
    })
}
