"""What the doctor knows of gunicorn: its settings, and how its command line sets them."""

from __future__ import annotations

from gunicorn_doctor.values import Location, Value, unknown

# The settings of gunicorn 27, and those of earlier releases. A test compares them with gunicorn's.
NAMES = """
    access_log_format accesslog asgi_disconnect_grace_period asgi_lifespan asgi_loop backlog bind
    ca_certs capture_output casefold_http_method cert_reqs certfile chdir check_config child_exit
    ciphers config control_socket control_socket_disable control_socket_mode daemon
    default_proc_name dirty_apps dirty_graceful_timeout dirty_post_fork dirty_threads
    dirty_timeout dirty_worker_exit dirty_worker_init dirty_workers
    disable_redirect_access_to_syslog do_handshake_on_connect dogstatsd_tags enable_backlog_metric
    enable_stdio_inheritance errorlog forwarded_allow_ips forwarder_headers graceful_timeout group
    header_map http2_cleartext http2_initial_window_size http2_max_concurrent_streams
    http2_max_frame_size http2_max_header_list_size http_parser http_protocols initgroups
    keepalive keyfile limit_request_field_size limit_request_fields limit_request_line logconfig
    logconfig_dict logconfig_json logger_class loglevel max_requests max_requests_jitter
    nworkers_changed on_dirty_starting on_exit on_reload on_starting paste permit_obsolete_folding
    permit_unconventional_http_method permit_unconventional_http_version pidfile post_fork
    post_request post_worker_init pre_exec pre_fork pre_request preload_app print_config proc_name
    protocol proxy_allow_ips proxy_protocol pythonpath raw_env raw_paste_global_conf reload
    reload_engine reload_extra_files reuse_port root_path secure_scheme_headers sendfile spew
    ssl_context ssl_version statsd_host statsd_prefix strip_header_spaces suppress_ragged_eofs
    syslog syslog_addr syslog_facility syslog_prefix threads timeout tmp_upload_dir umask user
    uwsgi_allow_ips websocket_max_message_size when_ready worker_abort worker_class
    worker_connections worker_exit worker_int worker_tmp_dir workers wsgi_app django_settings
    server_software debug
"""
SETTINGS = frozenset(NAMES.split())
DEFAULTS = {
    "worker_class": "sync",
    "workers": 1,
    "threads": 1,
    "worker_connections": 1000,
    "preload_app": False,
    "control_socket_disable": False,
}
SHORT = {"k": "worker_class", "w": "workers", "c": "config", "b": "bind", "t": "timeout"}
RENAMED = {"preload": "preload_app", "no_control_socket": "control_socket_disable"}


def parse(arguments: list[str], where: Location, varying: set[str]) -> dict[str, Value]:
    """Return the settings that a command line gives, by their names in a configuration file."""
    found: dict[str, Value] = {}
    position = 0
    while position < len(arguments):
        word, position = arguments[position], position + 1
        if not word.startswith("-") or word == "-":
            continue
        data: object = True
        if word.startswith("--"):
            name, separator, value = word[2:].partition("=")
            name = name.replace("-", "_")
        else:
            name, value = SHORT.get(word[1:2], word[1:2]), word[2:]
            separator = value
        if separator:
            data = value
        elif position < len(arguments) and not arguments[position].startswith("-"):
            data = arguments[position]
        name = RENAMED.get(name, name)
        if name in {"preload_app", "control_socket_disable"}:
            data = True
        varies = word in varying or (isinstance(data, str) and data in varying)
        missing = varies and "$" in str(data)
        found[name] = unknown(str(data), where) if missing else Value(data, where, varies)
    return found


def family(worker_class: str, threads: int | None) -> str:
    """Return sync, gthread, gevent, eventlet or asgi for a worker class, else an empty string."""
    name = worker_class.lower()
    for word, result in (
        ("uvicorn", "asgi"),
        ("asgi", "asgi"),
        ("hypercorn", "asgi"),
        ("daphne", "asgi"),
        ("eventlet", "eventlet"),
        ("gevent", "gevent"),
        ("gthread", "gthread"),
        ("threadworker", "gthread"),
    ):
        if word in name:
            return result
    if name == "sync" or name.endswith("syncworker"):
        return "sync" if threads in {0, 1} else "gthread"
    return ""
