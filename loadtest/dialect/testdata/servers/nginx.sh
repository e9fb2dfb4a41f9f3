#!/bin/sh
# nginx with Nchan on a port; $2 is a folder for its files.
set -eu
cat > "$2/nginx.conf" <<END
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
master_process off;
error_log stderr;
pid $2/nginx.pid;
events { }
http {
  access_log off;
  client_body_temp_path $2/body;
  proxy_temp_path $2/proxy;
  fastcgi_temp_path $2/fastcgi;
  uwsgi_temp_path $2/uwsgi;
  scgi_temp_path $2/scgi;
  server {
    listen 127.0.0.1:$1;
    location = /sub { nchan_subscriber; nchan_channel_id \$arg_id; nchan_subscriber_first_message newest; }
    location = /pub { nchan_publisher; nchan_channel_id \$arg_id; }
  }
}
END
exec nginx -e stderr -c "$2/nginx.conf"
