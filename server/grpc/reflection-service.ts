/**
 * Server reflection, v1 and v1alpha (which older tools ask for; its messages
 * are the same), from the descriptor set that is built with the generated code.
 */
import { readFileSync } from "node:fs";
import { createFileRegistry, type DescFile, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionServiceImplementation,
} from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { Status } from "nice-grpc-common";

type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;

export function reflectionService(): ServerReflectionServiceImplementation {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(new URL("descriptor.binpb", import.meta.url)));
  const registry = createFileRegistry(set);
  const services: string[] = [];
  const enumValues = new Map<string, DescFile>();
  for (const desc of registry) {
    if (desc.kind === "service") services.push(desc.typeName);
    // The values of an enum stand beside it, not within it.
    if (desc.kind === "enum") {
      const scope = desc.typeName.slice(0, -desc.name.length);
      for (const { name } of desc.values) enumValues.set(`${scope}${name}`, desc.file);
    }
  }

  const answer = (request: ServerReflectionRequest): Answer => {
    const asked = request.messageRequest;
    switch (asked?.$case) {
      case "listServices":
        return { $case: "listServicesResponse", value: { service: services.sort().map((name) => ({ name })) } };
      case "fileByFilename":
        return files(
          registry.getFile(asked.value.replace(/\.proto$/, "")) ?? registry.getFile(asked.value),
          asked.value,
        );
      case "fileContainingSymbol":
        return files(fileOf(asked.value), asked.value);
      case "allExtensionNumbersOfType":
        return {
          $case: "allExtensionNumbersResponse",
          value: { baseTypeName: asked.value, extensionNumber: [] },
        };
      default:
        return error(Status.NOT_FOUND, "nothing is known of that");
    }
  };

  /** A symbol may be a service, a method of one, a message, a field of one, an enum or a value of one. */
  const fileOf = (symbol: string): DescFile | undefined => {
    if (enumValues.has(symbol)) return enumValues.get(symbol);
    for (let name = symbol; name !== ""; name = name.slice(0, Math.max(0, name.lastIndexOf(".")))) {
      const desc = registry.get(name);
      if (desc !== undefined) return desc.kind === "extension" || "file" in desc ? desc.file : undefined;
    }
    return undefined;
  };

  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
      }
    },
  };
}

/** A file with all it depends on. */
function files(file: DescFile | undefined, name: string): Answer {
  if (file === undefined) return error(Status.NOT_FOUND, `${name} is not known`);
  const seen = new Map<string, Uint8Array>();
  const add = (one: DescFile) => {
    if (seen.has(one.name)) return;
    seen.set(one.name, toBinary(FileDescriptorProtoSchema, one.proto));
    one.dependencies.forEach(add);
  };
  add(file);
  const fileDescriptorProto = [...seen.values()].map((bytes) => Buffer.from(bytes));
  return { $case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function error(errorCode: Status, errorMessage: string): Answer {
  return { $case: "errorResponse", value: { errorCode, errorMessage } };
}
