# Action Cable, without the rest of Rails: puma cable.ru
require "action_cable"
require "action_cable/channel/base"

class Connection < ActionCable::Connection::Base
end

class MessagesChannel < ActionCable::Channel::Base
  def subscribed
    stream_from params[:room]
  end

  def publish(data)
    ActionCable.server.broadcast(params[:room], { message: data["message"] })
  end
end

ActionCable.server.config.tap do |c|
  c.cable = { "adapter" => "async" }
  c.connection_class = -> { Connection }
  c.logger = Logger.new(File::NULL)
  c.disable_request_forgery_protection = true
  c.worker_pool_size = 1 # keeps the order of publications
end

run ActionCable.server
