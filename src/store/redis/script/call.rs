//! A call of a script: its arguments and its reply, by the names that the script's header has.
//!
//! The compiler holds the names and the kinds against the header (see `signature`): an argument that is missing, not
//! known, in another place or of another kind does not compile, nor does the reading of a value that the script does
//! not give back. Refuses to know what a script does and where it runs.

use bytes::Bytes;

use super::super::error::StoreError;
use super::super::reply::Reply;
use super::Verb;
use super::signature::{BYTES, FLAG, LIST, NUMBER, OPTIONAL};

/// A script and its arguments, made by `call!`.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) args: Vec<Vec<u8>>,
    /// It is called in the form for messages with a collapse key.
    pub(crate) is_collapsing: bool,
}

impl Call {
    /// The same, in the form for messages with a collapse key, if they have one.
    pub(crate) fn collapsing(self, is_collapsing: bool) -> Self {
        Self { is_collapsing, ..self }
    }

    /// For a server that may not have the script, on a connection that does not look.
    pub(crate) fn by_text(&self, keys: &[String]) -> redis::Cmd {
        self.verb.script(super::ScriptForm::Plain).by_text(keys, &self.args)
    }
}

/// A call of a script that goes by time: its first two arguments are the moments between which it expects itself,
/// which are known only when it is made (see `wire::clock_watch`). Made by `timed_call!`.
#[derive(Debug)]
pub(crate) struct TimedCall(pub(crate) Call);

impl TimedCall {
    pub(crate) fn expect(&mut self, [earliest_us, latest_us]: [u64; 2]) {
        self.0.args[0] = pack::<NUMBER, _>(earliest_us);
        self.0.args[1] = pack::<NUMBER, _>(latest_us);
    }
}

/// A call of a script: `call!(Renew, lease_ms = .., exchanges = .., ..rows)`, where each row is one of `row!`.
macro_rules! call {
    ($verb:ident $(, $name:ident = $value:expr)* $(, ..$rows:expr)? $(,)?) => {{
        use $crate::store::redis::script as script_;
        use script_::{Verb, signature::Signature};
        const ARGS: Signature = Signature::args(Verb::$verb.source());
        const { ARGS.assert_named(&[$(stringify!($name)),*]) };
        let args: Vec<Vec<u8>> =
            vec![$(script_::pack::<{ ARGS.kind(stringify!($name)) }, _>($value)),*];
        $(let args = script_::add_rows::<{ ARGS.row_width() }>(args, $rows);)?
        script_::Call { verb: Verb::$verb, args, is_collapsing: false }
    }};
}

/// A call of a script that goes by time, without its moments.
macro_rules! timed_call {
    ($verb:ident $($rest:tt)*) => {
        $crate::store::redis::script::TimedCall($crate::store::redis::script::call!(
            $verb, earliest_us = 0_u64, latest_us = 0_u64 $($rest)*
        ))
    };
}

/// A row of a call: `row!(Renew: ulid = .., token = ..)`; with several scripts, one that all of them take.
macro_rules! row {
    ($($verb:ident)+: $($name:ident = $value:expr),+ $(,)?) => {{
        use $crate::store::redis::script as script_;
        use script_::{Verb, signature::Signature};
        const ARGS: &[Signature] = &[$(Signature::args(Verb::$verb.source())),+];
        const {
            let mut at = 0;
            while at < ARGS.len() {
                ARGS[at].assert_row(&[$(stringify!($name)),+]);
                at += 1;
            }
        };
        [$(script_::pack::<{ ARGS[0].kind(stringify!($name)) }, _>($value)),+]
    }};
}

/// Values of a reply, each by its name: `fields!(reply as Expire; next_ms: Option<u64>)`. Those of the next row, all of
/// them: `fields!(row of reply as Probe; ulid: String, ..)`, once `rows!` has led there.
macro_rules! fields {
    (row of $reply:ident as $verb:ident; $($name:ident: $kind:ty),+ $(,)?) => {
        const { $crate::store::redis::script::signature::Signature::returns(
            $crate::store::redis::script::Verb::$verb.source()).assert_row(&[$(stringify!($name)),+]) };
        $(let $name: $kind = $reply.next_value::<{
            $crate::store::redis::script::signature::Signature::returns($crate::store::redis::script::Verb::$verb.source())
                .kind(stringify!($name))
        }, $kind>()?;)+
    };
    ($reply:ident as $verb:ident; $($name:ident: $kind:ty),+ $(,)?) => {
        $(let $name: $kind = $reply.value::<{
            $crate::store::redis::script::signature::Signature::returns($crate::store::redis::script::Verb::$verb.source())
                .kind(stringify!($name))
        }, $kind>(const {
            $crate::store::redis::script::signature::Signature::returns($crate::store::redis::script::Verb::$verb.source())
                .place(stringify!($name))
        })?;)+
    };
}

/// Leads to the rows of a reply, past what comes before them.
macro_rules! rows {
    ($reply:ident as $verb:ident) => {
        $reply.pass(
            const {
                $crate::store::redis::script::signature::Signature::returns(
                    $crate::store::redis::script::Verb::$verb.source(),
                )
                .before_rows()
            },
        )
    };
}

pub(crate) use {call, fields, row, rows, timed_call};

/// An argument of this kind.
pub(crate) trait Argument<const KIND: u8> {
    fn pack(self) -> Vec<u8>;
}

pub(crate) fn pack<const KIND: u8, A: Argument<KIND>>(value: A) -> Vec<u8> {
    value.pack()
}

/// Rows of as many values as the header has.
pub(crate) fn add_rows<const WIDTH: usize>(
    mut args: Vec<Vec<u8>>,
    rows: impl IntoIterator<Item = [Vec<u8>; WIDTH]>,
) -> Vec<Vec<u8>> {
    args.extend(rows.into_iter().flatten());
    args
}

impl Argument<BYTES> for Vec<u8> {
    fn pack(self) -> Vec<u8> {
        self
    }
}

impl Argument<BYTES> for String {
    fn pack(self) -> Vec<u8> {
        self.into_bytes()
    }
}

impl Argument<BYTES> for &String {
    fn pack(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument<BYTES> for &str {
    fn pack(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument<FLAG> for bool {
    fn pack(self) -> Vec<u8> {
        vec![if self { b'1' } else { b'0' }]
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Argument<NUMBER> for $number {
            fn pack(self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }

        impl Argument<OPTIONAL> for Option<$number> {
            fn pack(self) -> Vec<u8> {
                self.map(Argument::<NUMBER>::pack).unwrap_or_default()
            }
        }
    )+};
}
numbers!(u8, u16, u32, u64, usize, i64, f64);

/// A value of a reply, of this kind.
pub(crate) trait Value<const KIND: u8>: Sized {
    /// # Errors
    /// [`StoreError::Reply`]: it is something else.
    fn take(reply: &mut Reply) -> Result<Self, StoreError>;
}

impl Value<NUMBER> for i64 {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.int()
    }
}

impl Value<NUMBER> for u64 {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.count()
    }
}

impl Value<NUMBER> for Option<u64> {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.natural()
    }
}

impl Value<FLAG> for bool {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        Ok(reply.int()? == 1)
    }
}

impl Value<BYTES> for Bytes {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.bytes()
    }
}

impl Value<BYTES> for String {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.text()
    }
}

impl Value<LIST> for Reply {
    fn take(reply: &mut Reply) -> Result<Self, StoreError> {
        reply.list()
    }
}
