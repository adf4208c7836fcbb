namespace Apvirt.Cli.Tests.Clients;

/// <summary>The example host of clients.md §0 and its set-up, step by step as an administrator types it.</summary>
internal static class ExampleHost
{
    internal const string G1 = "11111111-1111-4111-8111-111111111111";
    internal const string G2 = "22222222-2222-4222-8222-222222222222";
    internal const string G3 = "33333333-3333-4333-8333-333333333333";

    /// <summary>Every step must succeed.</summary>
    internal const string SetUp = $$"""
        set -e
        G1={{G1}} G2={{G2}} G3={{G3}}
        echo -5,-6 > /sys/bus/ap/apmask
        for u in $G1 $G2 $G3; do echo $u > /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create; done
        cd /sys/bus/mdev/devices/$G1; echo 5 >assign_adapter; echo 6 >assign_adapter; echo 4 >assign_domain; echo 0xab >assign_domain; echo 4 >assign_control_domain; echo 0xab >assign_control_domain
        cd ../$G2; echo 5 >assign_adapter; echo 0x47 >assign_domain; echo 0xff >assign_domain
        cd ../$G3; echo 6 >assign_adapter; echo 0x47 >assign_domain; echo 0xff >assign_domain
        set +e

        """;
}
