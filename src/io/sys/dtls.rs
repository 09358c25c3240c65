//! Two functions of OpenSSL that its crate lacks.
#![expect(unsafe_code, reason = "DTLSv1_listen and SSL_ctrl take pointers")]

use foreign_types_shared::ForeignTypeRef;
use openssl::ssl::SslRef;
use std::ffi::{c_int, c_long, c_void};

/// The number of DTLSv1_handle_timeout among the controls (`DTLS_CTRL_HANDLE_TIMEOUT` of openssl/ssl.h).
const HANDLE_TIMEOUT: c_int = 74;

unsafe extern "C" {
    fn DTLSv1_listen(ssl: *mut openssl_sys::SSL, peer: *mut c_void) -> c_int;
    fn BIO_ADDR_new() -> *mut c_void;
    fn BIO_ADDR_free(address: *mut c_void);
}

/// Looks at a client's hello: true if its cookie is good, and the handshake may begin with it. Otherwise what is to be
/// sent has been written, and nothing is kept.
pub(crate) fn listen(ssl: &SslRef) -> bool {
    // SAFETY: the address is freed by whoever made it, and nobody else has the pointer of `ssl` meanwhile.
    unsafe {
        let peer = BIO_ADDR_new();
        let verified = !peer.is_null() && DTLSv1_listen(ssl.as_ptr(), peer) > 0;
        BIO_ADDR_free(peer);
        verified
    }
}

/// Sends the last flight of a handshake again, if its time has come.
pub(crate) fn retransmit(ssl: &SslRef) {
    // SAFETY: this control takes neither a number nor a pointer.
    unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), HANDLE_TIMEOUT, 0 as c_long, std::ptr::null_mut()) };
}
