/**
 * Generated code stops at 100 nested messages, and a list or object in args
 * nests up to three of them. Answers that carry args are decoded by these
 * definitions, whose limit fits what the protocol allows.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { AdminServiceDefinition, GetTaskResponse, ListTasksResponse } from "./gen/taskqueue/v1/admin.js";

/** More than three messages for each of the 64 levels, and still little enough for the stack. */
const EXTRA_DEPTH = 400;

function deep<Message>(type: { decode(input: BinaryReader): Message }): (input: Uint8Array) => Message {
  return (input) => {
    const reader = new BinaryReader(input);
    Object.assign(reader, { __tsProtoDecodeDepth: -EXTRA_DEPTH });
    return type.decode(reader);
  };
}

const { methods } = AdminServiceDefinition;

export const DeepAdminServiceDefinition = {
  ...AdminServiceDefinition,
  methods: {
    ...methods,
    getTask: { ...methods.getTask, responseType: { ...GetTaskResponse, decode: deep(GetTaskResponse) } },
    listTasks: { ...methods.listTasks, responseType: { ...ListTasksResponse, decode: deep(ListTasksResponse) } },
  },
} as const;
