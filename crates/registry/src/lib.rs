//! x
#![allow(dead_code)]
mod certificates;
mod challenge;
mod complaint;
mod hosts;
mod proxy;
mod retry;
mod url;
