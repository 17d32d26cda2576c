from __future__ import annotations

from batchxfer.databases._backend import Backend


class MysqlBackend(Backend):
    pass
