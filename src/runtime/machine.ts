/** Facts of the machine and the person that runs us. */
export { homedir, hostname, networkInterfaces } from "node:os";
