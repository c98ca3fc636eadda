//! What a request that worked gets: `{"code":"SUCCESS","message":"","data":…}`.

use crate::ApiError;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use records::Page;
use schemars::JsonSchema;
use serde::Serialize;

/// `data` in its envelope.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    data: T,
}

pub(crate) type Result<T> = std::result::Result<Answer<T>, ApiError>;

#[derive(Serialize)]
struct Envelope<T> {
    code: &'static str,
    message: &'static str,
    data: T,
}

pub(crate) fn ok<T>(data: T) -> Result<T> {
    Ok(Answer { status: StatusCode::OK, data })
}

pub(crate) fn created<T>(data: T) -> Result<T> {
    Ok(Answer { status: StatusCode::CREATED, data })
}

impl<T> Answer<T> {
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        (self.status, Json(Envelope { code: "SUCCESS", message: "", data: self.data })).into_response()
    }
}

/// The envelope of a body that is serialized once and kept.
pub(crate) fn envelope<T: Serialize>(data: &T) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Envelope { code: "SUCCESS", message: "", data }).map(Bytes::from)
}

/// An envelope that was kept.
#[derive(Debug)]
pub(crate) struct Prepared(pub(crate) Bytes);

impl IntoResponse for Prepared {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Paged<T> {
    items: Vec<T>,
    /// How many there are on all pages.
    total: u64,
    /// From 1.
    page: u64,
    size: u64,
}

const SIZE_DEFAULT: u64 = 50;
const SIZE_MAX: u64 = 1_000;

/// Which page is asked for: `?page=` from 1, `?size=` up to 1,000.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    page: u64,
    size: u64,
}

impl Paging {
    pub(crate) fn of(page: Option<u64>, size: Option<u64>) -> std::result::Result<Paging, ApiError> {
        let (page, size) = (page.unwrap_or(1), size.unwrap_or(SIZE_DEFAULT));
        if page == 0 {
            return Err(ApiError::field("INVALID_VALUE", "page", "pages count from 1"));
        }
        if !(1..=SIZE_MAX).contains(&size) {
            let message = format!("a page has 1 to {SIZE_MAX} items, not {size}");
            return Err(ApiError::field("INVALID_VALUE", "size", message));
        }
        Ok(Paging { page, size })
    }

    pub(crate) fn limit(self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    pub(crate) fn offset(self) -> usize {
        usize::try_from((self.page - 1).saturating_mul(self.size)).unwrap_or(usize::MAX)
    }

    /// A page that the database cut.
    pub(crate) fn page<T, U>(self, page: Page<T>, show: impl FnMut(T) -> U) -> Paged<U> {
        let items = page.items.into_iter().map(show).collect();
        Paged { items, total: page.total, page: self.page, size: self.size }
    }

    /// A page cut from everything; only what is on it is shown.
    pub(crate) fn cut<T, U>(self, all: impl IntoIterator<Item = T>, show: impl Fn(T) -> U) -> Paged<U> {
        let mut total = 0;
        let (first, end) = (self.offset(), self.offset().saturating_add(self.limit()));
        let mut items = Vec::new();
        for (index, item) in all.into_iter().enumerate() {
            total += 1;
            if (first..end).contains(&index) {
                items.push(show(item));
            }
        }
        Paged { items, total, page: self.page, size: self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_where_asked() {
        let cut = |page, size| Paging::of(Some(page), Some(size)).unwrap().cut(0..7, |n| n).items;
        assert_eq!(cut(1, 3), [0, 1, 2]);
        assert_eq!(cut(3, 3), [6]);
        assert!(cut(4, 3).is_empty());
        assert!(cut(u64::MAX, 1_000).is_empty());
        assert!(Paging::of(Some(0), None).is_err());
        assert!(Paging::of(None, Some(1_001)).is_err());
    }
}
