// Documents of the contract, parsed when the page is built (vite.config.ts).
declare module "*.yaml" {
  const document: unknown;
  export default document;
}
