//! Options of configurations: default, documentation and comment in a file, written once.

/// An option of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it means, one entry per line.
    pub lines: &'static [&'static str],
    /// The options of a table of its own; none for a plain value.
    pub table: Vec<Field>,
}

/// A configuration that tells its options.
pub trait Options {
    /// All options, in the order in which they are written.
    fn options() -> Vec<Field>;
}

/// The documentation of the option of a key such as `flow.blocks`, if there is one.
pub fn meaning(fields: &[Field], key: &str) -> Option<&'static [&'static str]> {
    let find = |name: &str| fields.iter().find(|field| field.name == name);
    match key.split_once('.') {
        Some((table, rest)) => meaning(&find(table)?.table, rest),
        None => find(key).map(|field| field.lines),
    }
}

/// Tells the options of a type, which are none where it is no [`Options`]: the method of its own
/// goes before that of the trait [`Plain`].
#[doc(hidden)]
pub struct Table<T>(std::marker::PhantomData<T>);

impl<T: Options> Table<T> {
    /// The options of the type.
    pub fn options() -> Vec<Field> {
        T::options()
    }
}

#[doc(hidden)]
pub trait Plain {
    /// None.
    fn options() -> Vec<Field> {
        Vec::new()
    }
}

impl<T> Plain for Table<T> {}

/// A configuration whose options each stand once: documentation, name, type and default.
///
/// The documentation of an option is also its comment in a configuration file, by [`Options`], and
/// its line in the documentation of a model. The struct reads as a table in which every key may be
/// absent and none may be unknown. The crate `serde` has to be a dependency.
///
/// ```
/// use multivae_core::{options, options::{Options, meaning}};
///
/// options! {
///     /// How a kettle boils.
///     pub struct Kettle {
///         /// Litres of water,
///         /// above 0.
///         pub litres: f64 = 1.5,
///         /// What the kettle is called; absent for nothing.
///         #[serde(skip_serializing_if = "Option::is_none")]
///         pub name: Option<String> = None,
///     }
/// }
///
/// assert_eq!(Kettle::default(), Kettle { litres: 1.5, name: None });
/// let lines = meaning(&Kettle::options(), "litres").expect("an option");
/// assert_eq!(lines, [" Litres of water,", " above 0."]);
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)*)])?
                pub $field:ident: $type:ty = $default:expr,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::options::Options for $name {
            fn options() -> Vec<$crate::options::Field> {
                #[allow(unused_imports, reason = "of use where an option is no table")]
                use $crate::options::Plain as _;
                vec![$($crate::options::Field {
                    name: stringify!($field),
                    lines: &[$($doc),+],
                    table: $crate::options::Table::<$type>::options(),
                },)*]
            }
        }
    };
}
