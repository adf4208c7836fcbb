using System.Text.RegularExpressions;
using static Apvirt.Cli.Tests.Clients.ExampleHost;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>mdevctl on a virtual host, as clients.md §3 has it. Its definitions are on a file system that goes with the test.</summary>
public sealed class MdevctlTests
{
    private const string Definitions = """
        mount -t tmpfs none /etc/mdevctl.d
        mkdir -p /etc/mdevctl.d/scripts.d/callouts /etc/mdevctl.d/scripts.d/notifiers

        """;

    private const string Attributes = """[{"assign_adapter":"5"},{"assign_adapter":"6"},{"assign_domain":"4"},{"assign_domain":"0xab"},{"assign_control_domain":"4"},{"assign_control_domain":"0xab"}]""";

    private static (int Status, string Out, string Error) Run(string script)
    {
        Assert.SkipUnless(File.Exists("/usr/sbin/mdevctl") || File.Exists("/usr/bin/mdevctl"), "needs mdevctl");
        return Clients.Shell(host: null, Definitions + script);
    }

    [Fact]
    public void Types_and_active_devices_are_listed()
    {
        (int status, string output, string error) = Run(SetUp + "mdevctl types; mdevctl list");
        Assert.Equal((0, ""), (status, error));
        // mdevctl 1.2 prints an empty line after each, later ones do not.
        Assert.Equal(
            """
            matrix
              vfio_ap-passthrough
                Available instances: 65533
                Device API: vfio-ap
                Name: VFIO AP Passthrough Device
            11111111-1111-4111-8111-111111111111 matrix vfio_ap-passthrough manual
            22222222-2222-4222-8222-222222222222 matrix vfio_ap-passthrough manual
            33333333-3333-4333-8333-333333333333 matrix vfio_ap-passthrough manual

            """,
            output.Replace("\n\n", "\n", StringComparison.Ordinal));
    }

    [Fact]
    public void A_device_is_defined_started_listed_modified_stopped_and_undefined()
    {
        (int status, string output, string error) = Run($$"""
            echo -5,-6 > /sys/bus/ap/apmask
            echo '{"mdev_type":"vfio_ap-passthrough","start":"manual","attrs":{{Attributes}}}' > /tmp/apvirt-g1.json
            mdevctl define -u {{G1}} -p matrix --jsonfile /tmp/apvirt-g1.json; rm /tmp/apvirt-g1.json
            mdevctl start -u {{G1}}; cat /sys/bus/mdev/devices/{{G1}}/matrix
            mdevctl list -d
            mdevctl start -u {{G1}}; echo "rc $?"
            mdevctl modify -u {{G1}} --auto; mdevctl list -dv | head -3
            mdevctl stop -u {{G1}}; ls /sys/bus/mdev/devices | wc -l
            mdevctl undefine -u {{G1}}; ls /etc/mdevctl.d/matrix 2>/dev/null | wc -l
            mdevctl start -p matrix -t foo-bar; echo "rc $?"
            """);
        Assert.Equal(0, status);
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(
            [
                "05.0004", "05.00ab", "06.0004", "06.00ab",
                $"{G1} matrix vfio_ap-passthrough manual (active)",
                "rc 1",
                $"{G1} matrix vfio_ap-passthrough auto (active)", "  Attrs:", "    @{0}: {\"assign_adapter\":\"5\"}",
                "0", "0", "rc 1",
            ],
            lines);
        Assert.Contains("Device already exists", error, StringComparison.Ordinal);
        Assert.Contains("Parent matrix does not support mdev type foo-bar", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_start_that_fails_leaves_nothing()
    {
        (_, string output, string error) = Run($$"""
            T=/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/available_instances
            cat $T
            echo '{"mdev_type":"vfio_ap-passthrough","start":"manual","attrs":{{Attributes}}}' > /tmp/apvirt-f1.json
            mdevctl start -u {{G1}} -p matrix --jsonfile /tmp/apvirt-f1.json; echo "rc $?"; rm /tmp/apvirt-f1.json
            cat $T; ls /sys/bus/mdev/devices | wc -l
            """);
        Assert.Equal("65536\nrc 1\n65536\n0\n", output);
        Assert.Contains("Failed to write 4 to attribute assign_domain", error, StringComparison.Ordinal);
        Assert.Contains("Cannot assign requested address (os error 99)", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Defining_prints_a_uuid_of_its_own()
    {
        (int status, string output, _) = Run("""
            echo '{"mdev_type":"vfio_ap-passthrough","start":"auto","attrs":[]}' > /tmp/apvirt-g2.json
            mdevctl define -p matrix --jsonfile /tmp/apvirt-g2.json; rm /tmp/apvirt-g2.json
            """);
        Assert.Equal(0, status);
        Assert.Matches(new Regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$", RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(1)), output);
    }
}
