// SPDX-License-Identifier: GPL-3.0-or-later
// ServedEngine: an engine with the service on top of it, as the daemon and the commands have them. For tests.
#pragma once

#include <memory>
#include <utility>

#include "daemon/engine/engine.h"
#include "daemon/service/local_service.h"

namespace cairn {

class ServedEngine {
 public:
  explicit ServedEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)), service_(*engine_) {}

  LocalService& service() { return service_; }
  Store& store() { return engine_->store(); }
  Journal* journal() { return engine_->journal(); }
  void replace_settings(Settings settings) { engine_->replace_settings(std::move(settings)); }

 private:
  std::unique_ptr<Engine> engine_;
  LocalService service_;
};

}  // namespace cairn
