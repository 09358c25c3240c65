//! The sizes of the packets of a video call.

/// Payload bytes of successive packets. A placeholder, to be replaced by what was recorded of a call: Opus
/// packets among bursts of video.
pub const CALL: &[u16] = &[
    92, 1100, 1100, 1100, 940, 78, 1120, 1120, 1005, 104, 118, 1088, 1088, 1088, 1088, 912, 67, 1150, 1150, 985, 131,
    85, 1102, 1102, 1102, 956, 73, 1064, 1064, 900, 96, 160, 1190, 1190, 1190, 1190, 1190, 1012, 60, 1044, 968,
];
