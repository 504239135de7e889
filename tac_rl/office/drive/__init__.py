"""The drive: WebDAV, share links and the OCS share API, as ownCloud offers them."""
