package refusal

// Codes are those of all refusals, so that each is counted from the start;
// TestCodesAreComplete compares them with the source.
var Codes = []string{
	"already_subscribed", "ask_busy", "ask_denied", "ask_unavailable", "backend_only", "bad_base64", "bad_batch", "bad_before", "bad_channel", "bad_client", "bad_command", "bad_content_type", "bad_event", "bad_exclude",
	"bad_field", "bad_for", "bad_form", "bad_format", "bad_forwarding", "bad_handshake", "bad_id", "bad_idempotency_key", "bad_info", "bad_json", "bad_jti", "bad_last", "bad_limit", "bad_live", "bad_offset",
	"bad_presence", "bad_protocol", "bad_request", "bad_session", "bad_sub", "bad_timeout", "bad_topic", "bad_user", "bad_version", "batch_too_wide", "body_too_large", "busy", "channel_full", "channel_protected",
	"client_mismatch", "contradiction", "control_state_lost", "cross_site", "disconnected", "draining", "expectation_failed", "head_too_large", "host_not_allowed",
	"idempotency_busy", "idempotency_conflict", "idempotency_full", "key_changed", "key_invalid", "key_misplaced", "key_unknown", "log_full", "log_unavailable", "memory_full", "message_too_large",
	"method_not_allowed", "no_apps", "no_client", "no_data", "no_subject", "node_behind", "not_allowed", "not_found", "not_stored", "offset_gone", "origin_not_allowed", "overloaded", "presence_full",
	"presence_off", "publish_not_allowed", "rate_limited", "request_timeout", "reserved_channel", "revocations_full", "signature_invalid", "target_too_long", "token_expired", "token_invalid",
	"token_keys_unavailable", "token_misplaced", "token_missing", "token_not_yet_valid", "token_revoked", "too_many_channels", "too_many_clients", "too_many_connections", "too_many_tokens", "unknown_app", "unknown_command", "unknown_field",
	"unknown_parameter", "unknown_session", "untrusted_proxy", "upgrade_required",
}
