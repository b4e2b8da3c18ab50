//! What a person types: device specs, line settings, port names. What was understood prints as something that is
//! understood as the same; what was not has an error that fits on a screen.

use std::fmt::Display;

use uart_iface::backend::parse_device;
use uart_iface::{FlowControl, LineSettings, PortName};

/// The target.
pub fn spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse_device(text) {
        Ok(device) => {
            let shown = device.spec().to_owned();
            let again = parse_device(&shown);
            let again = again.unwrap_or_else(|error| panic!("{text:?} is shown as: {error}"));
            assert_eq!(again.spec(), shown);
            assert_eq!(again.prompt(), device.prompt());
        }
        Err(error) => assert_short(&error),
    }
    printed_and_read::<LineSettings>(text);
    printed_and_read::<FlowControl>(text);
    match text.parse::<PortName>() {
        Ok(name) => assert_eq!(name.to_string(), text),
        Err(error) => assert_short(&error),
    }
}

fn printed_and_read<T>(text: &str)
where
    T: std::str::FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let again = printed.parse::<T>();
            let again = again.unwrap_or_else(|error| panic!("{text:?} is printed as: {error}"));
            assert_eq!(again, value, "printed as {printed:?}");
        }
        Err(error) => assert_short(&error),
    }
}

fn assert_short(error: &impl Display) {
    let error = error.to_string();
    assert!(
        (1..2000).contains(&error.chars().count()),
        "an error of {} characters: {error}",
        error.chars().count()
    );
}
