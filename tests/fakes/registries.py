"""Stand-ins for model registries that run elsewhere, for the real clients to talk to.

They keep to what their documentation says; permissions and quotas are not in them.
"""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform_v1.services.model_service.transports import ModelServiceGrpcTransport
from google.longrunning import operations_pb2
from google.protobuf import any_pb2


class KubeflowRegistry:
    """Kubeflow's model registry, API v1alpha3, in memory; pages of two."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, str | None]] = []
        self.broken = ""
        """The end of the paths that are answered with an error."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if self.broken and url.path.endswith(self.broken):
            return 500, {"message": "broken"}
        match method, url.path.removeprefix("/api/model_registry/v1alpha3").strip("/").split("/"):
            case "GET", ["registered_model"]:
                found = [one for one in self.models.values() if one["name"] == query["name"]]
                return (200, found[0]) if found else (404, {"message": "not found"})
            case "POST", ["registered_models"]:
                return 201, self._kept(self.models, body)
            case "PATCH", ["registered_models", key]:
                self.models[key] |= body
                return 200, self.models[key]
            case "GET", ["registered_models", key, "versions"]:
                own = [one for one in self.versions.values() if one["registeredModelId"] == key]
                start = int(query.get("nextPageToken", 0))
                more = str(start + 2) if start + 2 < len(own) else ""
                return 200, {"items": own[start : start + 2], "nextPageToken": more}
            case "POST", ["model_versions"]:
                return 201, self._kept(self.versions, body)
            case "PATCH", ["model_versions", key]:
                self.versions[key] |= body
                return 200, self.versions[key]
            case "GET", ["model_versions", key, "artifacts"] if key in self.versions:
                found = [one for one in self.artifacts if one["version"] == key]
                return 200, {"items": found}
            case "POST", ["model_versions", key, "artifacts"] if key in self.versions:
                self.artifacts.append({**body, "version": key})
                return 201, {**body, "id": str(len(self.artifacts))}
        return 400, {"message": f"{method} {path} is not modelled"}

    def _kept(self, items: dict[str, dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        key = str(len(items) + 1)
        items[key] = {**body, "id": key}
        return items[key]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                registry.asked.append((self.command, self.path, self.headers["Authorization"]))
                status, found = registry.answer(self.command, self.path, body)
                text = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class VertexRegistry:
    """Vertex AI's ModelService for uploads, versions and aliases, behind the real gRPC client."""

    def __init__(self) -> None:
        self.models: dict[str, list[v1.Model]] = {}
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((self._handlers(),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def client(self) -> v1.ModelServiceClient:
        return v1.ModelServiceClient(transport=ModelServiceGrpcTransport(channel=self._channel))

    def stop(self) -> None:
        self._channel.close()
        self._server.stop(None)

    def _handlers(self) -> grpc.GenericRpcHandler:
        def method(
            call: Callable[[Any, Any], Any], request: Any, answer: Any
        ) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(call, request.deserialize, answer)

        return grpc.method_handlers_generic_handler("google.cloud.aiplatform.v1.ModelService", {
            "UploadModel": method(self._upload, v1.UploadModelRequest,
                                  operations_pb2.Operation.SerializeToString),
            "ListModelVersions": method(self._list, v1.ListModelVersionsRequest,
                                        v1.ListModelVersionsResponse.serialize),
            "MergeVersionAliases": method(self._merge, v1.MergeVersionAliasesRequest,
                                          v1.Model.serialize),
        })  # fmt: skip

    def _upload(self, request: Any, context: grpc.ServicerContext) -> operations_pb2.Operation:
        name = request.parent_model or f"{request.parent}/models/{request.model_id}"
        if bool(request.parent_model) != (name in self.models):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "parent_model is for a further version")
        versions = self.models.setdefault(name, [])
        model = v1.Model(request.model)
        model.name, model.version_id = name, str(len(versions) + 1)
        if not versions:
            model.version_aliases = ["default"]
        versions.append(model)
        packed = any_pb2.Any()
        packed.Pack(v1.UploadModelResponse.pb(v1.UploadModelResponse(model=name)))
        return operations_pb2.Operation(name=f"{name}/operations/1", done=True, response=packed)

    def _list(self, request: Any, context: grpc.ServicerContext) -> v1.ListModelVersionsResponse:
        if request.name not in self.models:
            context.abort(grpc.StatusCode.NOT_FOUND, request.name)
        return v1.ListModelVersionsResponse(models=self.models[request.name])

    def _merge(self, request: Any, context: grpc.ServicerContext) -> v1.Model:
        name, _, number = request.name.partition("@")
        model = self.models[name][int(number) - 1]
        for alias in request.version_aliases:
            if alias.startswith("-"):
                model.version_aliases.remove(alias[1:])
                continue
            if any(alias in one.version_aliases for one in self.models[name]):
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{alias} is taken")
            model.version_aliases.append(alias)
        return model
