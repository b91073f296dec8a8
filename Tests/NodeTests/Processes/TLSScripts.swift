// TLS for foreign programs: Python as a node that has the key of a home folder.

enum TLSScripts {
    /// `tls(home)` and `tls(home, server=True)` make contexts with the key of that folder, which believe
    /// whoever answers; `make_key(home)` makes the key of somebody whom nobody knows.
    static let prelude = """
        import base64, os, ssl, subprocess, tempfile
        def make_key(home):
            os.makedirs(home, exist_ok=True)
            with open(home + "/key", "w") as file:
                file.write("starling key 1\\n" + os.urandom(32).hex() + "\\n")
            return home
        def tls(home, server=False):
            secret = bytes.fromhex(open(home + "/key").read().split("\\n")[1])
            # PKCS 8 (RFC 8410) around the 32 bytes.
            der = bytes.fromhex("302e020100300506032b657004220420") + secret
            text = base64.b64encode(der).decode()
            folder = tempfile.mkdtemp()
            key, certificate = folder + "/key.pem", folder + "/certificate.pem"
            with open(key, "w") as file:
                file.write("-----BEGIN PRIVATE KEY-----\\n%s\\n-----END PRIVATE KEY-----\\n" % text)
            subprocess.run(["openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=starling",
                "-days", "365", "-out", certificate], check=True, capture_output=True)
            kind = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
            context = ssl.SSLContext(kind)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            if server: context.num_tickets = 0
            context.load_cert_chain(certificate, key)
            return context
        """
}
