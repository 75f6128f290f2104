/**
 * A topic: what kind of work a task is, with the types of its input and result,
 * and how they are checked or encoded. Topics are plain values, shared by the
 * producer and the worker; nothing is registered with a broker.
 */
import { isTopicName, TOPIC_RULE } from "./limits.js";
import { invalid, type TaskDefaults } from "./options.js";
import { checkDefaults } from "./task-codec.js";
import { Writer } from "./wire.js";

/** The part of the Standard Schema interface (standardschema.dev) that is used here; zod, valibot, arktype and others have it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<SchemaIssue> };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** Turns a topic's input into bytes and back, such as a protobuf message. */
export interface Codec<Message> {
  /** The media type, such as `application/x-protobuf; message=shop.Order`. At most 255 bytes. */
  readonly contentType: string;
  encode(message: Message): Uint8Array;
  /** What it throws fails the attempt for good. */
  decode(bytes: Uint8Array, contentType: string): Message;
}

declare const types: unique symbol;

/** What kind of work. Make one with `defineTopic`. */
export interface Topic<Input = unknown, Output = Input, Result = unknown> {
  readonly name: string;
  readonly defaults: TaskDefaults;
  readonly args: StandardSchema<Input, Output> | undefined;
  readonly result: StandardSchema<Result, unknown> | undefined;
  readonly codec: Codec<Input> | undefined;
  /** Types only; never set. */
  readonly [types]?: { readonly input: Input; readonly output: Output; readonly result: Result };
}

/** Any topic at all. */
// biome-ignore lint/suspicious/noExplicitAny: a topic is invariant in its types; only `any` stands for all of them.
export type AnyTopic = Topic<any, any, any>;

/** A topic, or just its name. */
export type TopicRef = string | AnyTopic;

export interface ResultOption<Result> {
  /** Checks what the processor returns. */
  readonly result?: StandardSchema<Result, unknown>;
}

/**
 * A topic whose input is a list of JSON values: `defineTopic<[width: number, height: number]>("clicks")`.
 * What is not exactly JSON is refused when it is enqueued. The other forms check
 * the list by a schema, on both sides, or carry bytes by a codec.
 */
export function defineTopic<Args extends readonly unknown[] = unknown[], Result = unknown>(
  name: string,
  options?: TaskDefaults & { readonly args?: never; readonly codec?: never } & ResultOption<Result>,
): Topic<Args, Args, Result>;
/** A topic whose list of arguments is checked by a schema: the producer's before sending, the processor's before it runs. */
export function defineTopic<Input extends readonly unknown[], Output = Input, Result = unknown>(
  name: string,
  options: TaskDefaults & {
    readonly args: StandardSchema<Input, Output>;
    readonly codec?: never;
  } & ResultOption<Result>,
): Topic<Input, Output, Result>;
/** A topic whose input is bytes, made and read by a codec. */
export function defineTopic<Message, Result = unknown>(
  name: string,
  options: TaskDefaults & { readonly codec: Codec<Message>; readonly args?: never } & ResultOption<Result>,
): Topic<Message, Message, Result>;
export function defineTopic(name: string, options: TopicOptions = {}): AnyTopic {
  const { args, result, codec, ...defaults } = options;
  if (typeof name !== "string" || !isTopicName(name)) throw invalid("topic", name, TOPIC_RULE);
  checkDefaults(new Writer(), defaults);
  return { name, defaults, args, result, codec };
}

interface TopicOptions extends TaskDefaults {
  readonly args?: StandardSchema | undefined;
  readonly result?: StandardSchema | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyTopic.
  readonly codec?: Codec<any> | undefined;
}

/** The codec of topics whose input is bytes as they are. */
export function bytesCodec(contentType = "application/octet-stream"): Codec<Uint8Array> {
  return { contentType, encode: (bytes) => bytes, decode: (bytes) => bytes };
}
