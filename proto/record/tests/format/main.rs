//! The batch format from outside: what survives, what is refused, and what old releases wrote.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod samples;
