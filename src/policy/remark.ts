/** Something to be said of a place in a document. */

/** Steps from the root of a document to a value in it. */
export type DocumentPath = readonly (string | number)[];

/** A sentence about one place, whose severity its owner knows. */
export interface Remark {
  readonly path: DocumentPath;
  readonly message: string;
}
